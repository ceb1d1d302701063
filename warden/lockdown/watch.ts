// The watch that keeps the plan in force: it compares periodically, and at once when something is
// plugged in. [LCK-7] [LCK-8] [LCK-14] [LCK-70]
import { asFault, type Fault } from "../../hal/fault.ts";
import type { Clock, UsbEvents, UsbTree } from "../../hal/ports.ts";
import type { JudgedUsbDevice } from "./devices.ts";
import { RECHECK_MS, USB_POLL_MS } from "./limits.ts";
import type { Lockdown } from "./lockdown.ts";
import type { Trail } from "./trail.ts";
import { type UsbArrival, UsbArrivals } from "./usb-arrivals.ts";

export interface WatchOptions {
  readonly lockdown: Pick<Lockdown, "recheck" | "status" | "devices" | "notKnown">;
  readonly usb: Pick<UsbTree, "plugged">;
  /** Undefined where this machine's events cannot be followed. */
  readonly usbEvents: UsbEvents | undefined;
  readonly clock: Clock;
  readonly trail: Pick<Trail, "devices" | "missed" | "notKnown">;
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
export async function watchLockdown(options: WatchOptions, signal: AbortSignal): Promise<void> {
  await new Watch(options).run(signal);
}

class Watch {
  readonly #options: WatchOptions;
  readonly #arrivals: UsbArrivals;
  /** What was plugged in, as {@link UsbTree.plugged} tells it. */
  #known: string | undefined;
  #checkedAtMs = Number.NEGATIVE_INFINITY;
  /** The devices of the last turn. */
  #before: readonly JudgedUsbDevice[] = [];

  constructor(options: WatchOptions) {
    const { usbEvents: events, clock, report } = options;
    this.#options = options;
    this.#arrivals = new UsbArrivals({ events, clock, report });
  }

  async run(signal: AbortSignal): Promise<void> {
    const { onTurn, report } = this.#options;
    const following = this.#arrivals.follow(signal);
    while (!signal.aborted) {
      try {
        await this.#turn();
      } catch (error) {
        report(asFault(error, "assert.broken", "watch the lockdown"));
      }
      onTurn();
      await this.#arrivals.sleep(USB_POLL_MS, signal);
    }
    await following;
  }

  async #turn(): Promise<void> {
    const { lockdown, clock, trail } = this.#options;
    const taken = this.#arrivals.take();
    const isShut = lockdown.status().at === "shut";
    const found = taken.changed || isShut || !this.#arrivals.isListening ? await this.#plugged() : this.#known;
    const due = clock.monotonicMs() - this.#checkedAtMs >= RECHECK_MS && !isShut;
    if (due || (found !== undefined && found !== this.#known)) {
      this.#checkedAtMs = clock.monotonicMs();
      await this.#recheck();
    }
    this.#known = found; // as found before the check: what came since is checked in the next turn
    const devices = lockdown.devices();
    trail.devices(devices);
    if (found === undefined) return this.#arrivals.putBack(taken);
    // [LCK-71] an event may come between a check and the turn that hears of it
    trail.missed(
      taken.came.filter((arrival) => ![...devices, ...this.#before].some((device) => isThis(device, arrival))),
      taken.unseen,
    );
    this.#before = devices;
    trail.notKnown(lockdown.notKnown());
  }

  /** A check that fails must not take away what is to be recorded. */
  async #recheck(): Promise<void> {
    try {
      await this.#options.lockdown.recheck();
    } catch (error) {
      this.#options.report(asFault(error, "assert.broken", "check the lockdown"));
    }
  }

  async #plugged(): Promise<string | undefined> {
    try {
      return await this.#options.usb.plugged();
    } catch (error) {
      this.#options.report(asFault(error, "usb.unreadable", "read the USB tree"));
      return undefined;
    }
  }
}

function isThis(device: JudgedUsbDevice, { port, number }: UsbArrival): boolean {
  return device.port === port && device.number === number;
}
