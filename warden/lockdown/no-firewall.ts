// Where there is no packet filter to put a plan in force: what is planned is remembered, so that a policy can be tried and confirmed all the same, and nothing is kept out.
import type { Firewall } from "../../hal/ports.ts";

export const UNFILTERED = 'packet filter: "lockdown.firewall" is "none", so no packet is kept out';

export function createNoFirewall(): Firewall {
  const held: { table: string | undefined } = { table: undefined };
  return {
    check: async () => undefined,
    replace: async (table) => {
      held.table = table;
    },
    read: async () => held.table,
  };
}
