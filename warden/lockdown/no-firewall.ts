// A stand-in for the packet filter on machines without one. It remembers the table, so that a
// policy can be tried and confirmed, and it blocks nothing.
import type { Firewall } from "../../hal/ports.ts";

export const UNFILTERED = 'packet filter: "lockdown.firewall" is "none", so no packet is blocked';

export function createNoFirewall(): Firewall {
  let current: string | undefined;
  return {
    replace: async (table) => {
      current = table;
      return current;
    },
    read: async () => current,
  };
}
