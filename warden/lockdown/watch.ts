// Keeps in force what should be: compares now and then, and at once when something is plugged in. [LCK-7] [LCK-8] [LCK-14]
import { asFault, type Fault } from "../../hal/fault.ts";
import type { Clock, UsbTree } from "../../hal/ports.ts";
import { RECHECK_MS, USB_POLL_MS } from "./limits.ts";
import type { Lockdown } from "./lockdown.ts";
import type { Trail } from "./trail.ts";

export interface WatchOptions {
  readonly lockdown: Pick<Lockdown, "recheck" | "status" | "devices">;
  readonly usb: Pick<UsbTree, "plugged">;
  readonly clock: Clock;
  readonly trail: Pick<Trail, "devices">;
  readonly report: (fault: Fault) => void;
}

/**
 * Until `signal` aborts. What is plugged in works only once it was judged [LCK-7], so a second more or less costs comfort, not safety. Where everything is shut
 * lockdown tries again by a timer of its own.
 */
export async function watchLockdown({ lockdown, usb, clock, trail, report }: WatchOptions, signal: AbortSignal): Promise<void> {
  let known: string | undefined;
  let checkedAtMs = Number.NEGATIVE_INFINITY;
  const plugged = async (): Promise<string | undefined> => {
    try {
      return await usb.plugged();
    } catch (error) {
      report(asFault(error, "usb.unreadable", "look at the USB tree"));
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
    known = found; // as it was before the check: what came since is looked at the next time
    trail.devices(lockdown.devices());
  };
  while (!signal.aborted) {
    try {
      await turn();
    } catch (error) {
      report(asFault(error, "assert.broken", "watch over the lockdown"));
    }
    await clock.sleep(USB_POLL_MS, signal);
  }
}
