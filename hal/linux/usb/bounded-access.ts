// Waiting for the kernel, but not for ever. Some attributes wait for the lock of a device or hub (`disable` in drivers/usb/core/port.c, `serial`, `authorized` when
// it is written, and on some kernels `descriptors`, in sysfs.c of the same folder), which the kernel holds while it sets up what is plugged in there: with a device
// that never answers for minutes, and nothing interrupts it. Each such call takes one of the few threads that Node has for files: only so many may be lost to it at a
// time, or a bad stick would stop the whole program.
import { Fault } from "../../fault.ts";

export interface BoundedAccess {
  /** Whether {@link within} would ask at once. */
  isFree(hub: string): boolean;
  /**
   * @param late What follows once `work`, given up on, has ended after all, well or not. Its Faults are nobody's: who waited was told already.
   * @returns what `work` does.
   * @throws Fault `usb.busy` when it takes too long, and at once where earlier work at the same hub still does, or too much does elsewhere.
   */
  within<T>(hub: string, work: () => Promise<T>, late?: () => Promise<void>): Promise<T>;
}

/** @param stuckMax Calls that may go on once they were given up on; with so many no other is made. */
export function createBoundedAccess(waitMs: number, stuckMax: number): BoundedAccess {
  const stuck = new Set<string>();
  return {
    isFree: (hub) => !stuck.has(hub) && stuck.size < stuckMax,
    within: async (hub, work, late) => {
      if (stuck.has(hub)) throw busy(hub);
      if (stuck.size >= stuckMax)
        throw new Fault(
          "usb.busy",
          `ask the kernel about "${hub}": not asked, as it is busy at "${[...stuck].join('", "')}" with devices that do not answer`,
        );
      const working = work();
      const waiting = Promise.withResolvers<never>();
      const timer = setTimeout(() => {
        stuck.add(hub);
        void afterwards(working, () => stuck.delete(hub), late);
        waiting.reject(busy(hub));
      }, waitMs);
      try {
        return await Promise.race([working, waiting.promise]);
      } finally {
        clearTimeout(timer);
      }
    },
  };
}

async function afterwards(working: Promise<unknown>, free: () => void, late?: () => Promise<void>): Promise<void> {
  await Promise.allSettled([working]);
  free();
  try {
    await late?.();
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
  }
}

function busy(hub: string): Fault {
  return new Fault("usb.busy", `ask the kernel about "${hub}": it is busy there with a device that does not answer`);
}
