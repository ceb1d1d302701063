// The kernel's USB events, followed as long as the warden runs: they wake the watch, and name the
// devices that came, also those that are gone before anybody looks. [LCK-70] [LCK-71]
import { asFault, type Fault } from "../../hal/fault.ts";
import type { Clock, UsbEvent, UsbEvents } from "../../hal/ports.ts";
import { createTokenBucket, type TokenBucket } from "../../hal/rate-limit.ts";
import {
  USB_ARRIVALS_MAX,
  USB_CHECKS_BURST_MAX,
  USB_CHECKS_PERIOD_MS,
  USB_FOLLOW_PAUSE_MS_MAX,
  USB_FOLLOW_PAUSE_MS_MIN,
} from "./limits.ts";

export type UsbArrival = Pick<UsbEvent, "port" | "number" | "id">;

interface Taken {
  /** Something came or went. */
  readonly changed: boolean;
  readonly came: readonly UsbArrival[];
  /** Devices that came faster than they are listed. */
  readonly unseen: number;
}

export interface UsbArrivalsOptions {
  /** Undefined where this machine's events cannot be followed. */
  readonly events: UsbEvents | undefined;
  readonly clock: Clock;
  readonly report: (fault: Fault) => void;
}

export class UsbArrivals {
  readonly #options: UsbArrivalsOptions;
  /** [LCK-71] A flood of events causes no more checks than this. */
  readonly #checks: TokenBucket;
  #listening = false;
  #woken: AbortController | undefined;
  /** Something came or went since the last look. */
  #changed = false;
  #came: UsbArrival[] = [];
  #unseen = 0;

  constructor(options: UsbArrivalsOptions) {
    this.#options = options;
    this.#checks = createTokenBucket(options.clock, USB_CHECKS_BURST_MAX, USB_CHECKS_PERIOD_MS);
  }

  /** Whether every device that comes is told. Where it is not, somebody must look. */
  get isListening(): boolean {
    return this.#listening;
  }

  /** Follows the events until `signal` aborts, and again whenever they end. */
  async follow(signal: AbortSignal): Promise<void> {
    const { events, clock, report } = this.#options;
    signal.addEventListener("abort", () => this.#woken?.abort(), { once: true });
    if (events === undefined) return;
    let pauseMs = USB_FOLLOW_PAUSE_MS_MIN;
    while (!signal.aborted) {
      const startedAtMs = clock.monotonicMs();
      let nextPauseMs = USB_FOLLOW_PAUSE_MS_MIN;
      try {
        await events.follow({ onListening: () => this.#heard(true), onEvent: (event) => this.#note(event) }, signal);
      } catch (error) {
        report(asFault(error, "process.failed", "follow USB events"));
        nextPauseMs = Math.min(2 * pauseMs, USB_FOLLOW_PAUSE_MS_MAX);
      }
      this.#heard(false);
      if (clock.monotonicMs() - startedAtMs > USB_FOLLOW_PAUSE_MS_MAX) pauseMs = USB_FOLLOW_PAUSE_MS_MIN;
      await clock.sleep(pauseMs, signal);
      pauseMs = nextPauseMs;
    }
  }

  /** Resolves after `delayMs`, or at an event that may be looked at at once, or at the end. */
  async sleep(delayMs: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted || (this.#changed && this.#checks.take())) return;
    this.#woken = new AbortController();
    await this.#options.clock.sleep(delayMs, this.#woken.signal);
    this.#woken = undefined;
  }

  /** @returns what happened since the last call. */
  take(): Taken {
    const taken = { changed: this.#changed, came: this.#came, unseen: this.#unseen };
    this.#changed = false;
    this.#came = [];
    this.#unseen = 0;
    return taken;
  }

  /** Takes back what could not be looked at, because the tree could not be read. */
  putBack({ came, unseen }: Taken): void {
    const all = [...came, ...this.#came];
    this.#came = all.slice(-USB_ARRIVALS_MAX);
    this.#unseen += unseen + all.length - this.#came.length;
    this.#changed = true;
  }

  #heard(listening: boolean): void {
    if (this.#listening === listening) return;
    this.#listening = listening;
    this.#changed = true;
    this.#woken?.abort();
  }

  #note({ what, port, number, id }: UsbEvent): void {
    if (what === "came" && !port.startsWith("usb")) this.#came.push({ port, number, id });
    if (this.#came.length > USB_ARRIVALS_MAX) {
      this.#came.shift();
      this.#unseen += 1;
    }
    this.#changed = true;
    if (this.#woken !== undefined && this.#checks.take()) this.#woken.abort();
  }
}
