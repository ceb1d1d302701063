// The watch that keeps the plan in force: it compares periodically, and at once when something is
// plugged in. [LCK-7] [LCK-8] [LCK-14]
import { asFault, type Fault } from "../../hal/fault.ts";
import type { Clock, UsbTree } from "../../hal/ports.ts";
import { RECHECK_MS, USB_POLL_MS } from "./limits.ts";
import type { Lockdown } from "./lockdown.ts";
import type { Trail } from "./trail.ts";

export interface WatchOptions {
  readonly lockdown: Pick<Lockdown, "recheck" | "status" | "devices" | "notKnown">;
  readonly usb: Pick<UsbTree, "plugged">;
  readonly clock: Clock;
  readonly trail: Pick<Trail, "devices" | "notKnown">;
  readonly report: (fault: Fault) => void;
  /**
   * Called after each turn. It comes only while timers fire and the lockdown takes its turns, so it
   * says that deadlines are served. [OPS-11]
   */
  readonly onTurn: () => void;
}

/**
 * Runs until `signal` aborts. A plugged device works only after it was judged [LCK-7], so a second
 * more or less costs comfort, not safety. Where everything is shut, the lockdown tries again by a
 * timer of its own.
 */
export async function watchLockdown(
  { lockdown, usb, clock, trail, report, onTurn }: WatchOptions,
  signal: AbortSignal,
): Promise<void> {
  let known: string | undefined;
  let checkedAtMs = Number.NEGATIVE_INFINITY;
  const plugged = async (): Promise<string | undefined> => {
    try {
      return await usb.plugged();
    } catch (error) {
      report(asFault(error, "usb.unreadable", "read the USB tree"));
      return undefined;
    }
  };
  const turn = async (): Promise<void> => {
    const found = await plugged();
    const due = clock.monotonicMs() - checkedAtMs >= RECHECK_MS && lockdown.status().at !== "shut";
    if (due || (found !== undefined && found !== known)) {
      checkedAtMs = clock.monotonicMs();
      await lockdown.recheck();
    }
    known = found; // as found before the check: what came since is checked in the next turn
    trail.devices(lockdown.devices());
    trail.notKnown(lockdown.notKnown());
  };
  while (!signal.aborted) {
    try {
      await turn();
    } catch (error) {
      report(asFault(error, "assert.broken", "watch the lockdown"));
    }
    onTurn();
    await clock.sleep(USB_POLL_MS, signal);
  }
}
