// Waiting for the kernel, but not for ever. Some attributes of a hub wait for its lock (disable in drivers/usb/core/port.c, strings and descriptors in sysfs.c of
// the same folder), which the kernel holds while it sets up what is plugged in there: with a device that never answers for minutes, and nothing interrupts it. Each
// such call takes one of the few threads that Node has for files: two may be lost to it at a time, or a bad stick would stop the whole program.
import { Fault } from "../../fault.ts";
import { STUCK_CALLS_MAX } from "./limits.ts";

export interface Patience {
  /** @returns what `work` does. @throws Fault `usb.unreadable` when it takes too long, and at once where earlier work at the same hub still does. */
  within<T>(hub: string, work: () => Promise<T>): Promise<T>;
}

export function createPatience(waitMs: number): Patience {
  const stuck = new Set<string>();
  return {
    async within(hub, work) {
      if (stuck.has(hub) || stuck.size >= STUCK_CALLS_MAX) throw late(hub);
      const working = work();
      const waiting = Promise.withResolvers<never>();
      const timer = setTimeout(() => {
        stuck.add(hub);
        const free = (): void => void stuck.delete(hub);
        working.then(free, free);
        waiting.reject(late(hub));
      }, waitMs);
      try {
        return await Promise.race([working, waiting.promise]);
      } finally {
        clearTimeout(timer);
      }
    },
  };
}

function late(hub: string): Fault {
  return new Fault("usb.unreadable", `ask the kernel about "${hub}": it is busy there with a device that does not answer`);
}
