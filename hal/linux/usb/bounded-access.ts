// Time-bounded access to sysfs. Some attributes wait for the lock of a device or hub (`disable` in
// drivers/usb/core/port.c; `serial`, `authorized` when it is written, and on some kernels
// `descriptors`, in sysfs.c of the same folder). The kernel holds that lock while it sets up what
// is plugged in there: for minutes when the device never answers, and nothing interrupts it. Each
// such call takes one of the few threads that Node has for files, so only a few may be lost at a
// time. Otherwise one bad stick would stop the whole program.
import { Fault } from "../../fault.ts";

export interface BoundedAccess {
  /** True when {@link run} would start its work at once. */
  isFree(hub: string): boolean;
  /**
   * Runs `work`, and gives up on it after the time limit.
   * @param onLateEnd called when `work` ends, in success or failure, after it was given up on. Its
   *   Faults are dropped, because the caller has been answered by then.
   * @returns what `work` returns.
   * @throws Fault `usb.busy` when `work` takes too long; at once while earlier work at the same hub
   *   still runs, or too much other work does.
   */
  run<T>(hub: string, work: () => Promise<T>, onLateEnd?: () => Promise<void>): Promise<T>;
}

/**
 * @param waitMs time limit of one call.
 * @param stuckMax calls that may still run after they were given up on. With that many, no new call
 *   is made.
 */
export function createBoundedAccess(waitMs: number, stuckMax: number): BoundedAccess {
  const stuck = new Set<string>();
  return {
    isFree: (hub) => !stuck.has(hub) && stuck.size < stuckMax,
    run: async (hub, work, onLateEnd) => {
      if (stuck.has(hub)) throw busy(hub);
      if (stuck.size >= stuckMax)
        throw new Fault(
          "usb.busy",
          `ask the kernel about "${hub}": not asked, because it is busy at "${[...stuck].join('", "')}" with devices that do not answer`,
        );
      const result = work();
      const timeout = Promise.withResolvers<never>();
      const timer = setTimeout(() => {
        stuck.add(hub);
        void afterwards(result, () => stuck.delete(hub), onLateEnd);
        timeout.reject(busy(hub));
      }, waitMs);
      try {
        return await Promise.race([result, timeout.promise]);
      } finally {
        clearTimeout(timer);
      }
    },
  };
}

async function afterwards(result: Promise<unknown>, free: () => void, onLateEnd?: () => Promise<void>): Promise<void> {
  await Promise.allSettled([result]);
  free();
  try {
    await onLateEnd?.();
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
  }
}

function busy(hub: string): Fault {
  return new Fault("usb.busy", `ask the kernel about "${hub}": it is busy there with a device that does not answer`);
}
