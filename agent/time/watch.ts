// The state of the warden's clock, and the attempts to set it from the hub until one succeeds.
// [ID-10]
import { asFault, type Fault } from "../../hal/fault.ts";
import type { Clock } from "../../hal/ports.ts";
import type { AuditEntry } from "../../warden/audit/format/index.ts";
import type { ClockState } from "../../warden/time/format.ts";
import { faultDetail } from "../fault-detail.ts";
import { ClockSteps, STEP_CHECK_MS, STEPS_AT_ONCE_MAX } from "./steps.ts";
import type { CertificateDates, TimeAnswer, TimeSync } from "./sync.ts";

/** Wait after an attempt that failed, doubled from the first bound to the second. */
export const RETRY_MS_MIN = 5_000;
export const RETRY_MS_MAX = 300_000;

export interface TimeWatch {
  /**
   * Notices steps of the clock, and has each mended. Resolves when the agent stops. [TUN-70]
   */
  start(): Promise<void>;
  /**
   * Has the clock set now, and tries again later if that fails. Never rejects: a hub without time
   * is no reason to stop.
   * @returns whether the clock was wrong and is right now.
   */
  sync(dates: CertificateDates): Promise<boolean>;
  /** Takes over a state of the clock that the warden has told to another caller. */
  observe(clock: ClockState): void;
  /** As the warden told it last. */
  clock(): ClockState | undefined;
  /**
   * False while the clock is `unset`, its state is not known yet, or it was stepped since the
   * warden told its state.
   */
  isClockTrusted(): boolean;
  /** True while the clock is as the hub has set it. Only such a clock ends anything. [TUN-73] */
  isClockSynced(): boolean;
  /** Why the last attempt failed, until one succeeds. */
  fault(): Fault | undefined;
  /** Another program has set the clock, and it was not put right since, or that happens often. */
  stepped(): Fault | undefined;
}

export interface TimeWatchOptions {
  /** The state of the clock, as the warden tells it now. */
  readonly readClock: () => Promise<ClockState>;
  readonly source: TimeSync;
  readonly clock: Pick<Clock, "nowMs" | "monotonicMs" | "sleep">;
  readonly signal: AbortSignal;
  readonly log: (line: string) => void;
  /** For the audit trail; never throws. */
  readonly note: (entry: AuditEntry) => void;
  readonly onSynced: () => void;
}

export function createTimeWatch(options: TimeWatchOptions): TimeWatch {
  return new HubTimeWatch(options);
}

class HubTimeWatch implements TimeWatch {
  readonly #options: TimeWatchOptions;
  #clock: ClockState | undefined;
  #fault: Fault | undefined;
  #isRetrying = false;
  #retryMs = RETRY_MS_MIN;
  readonly #steps: ClockSteps;
  /** The clock was stepped since the warden told its state. */
  #isStale = false;
  /** The broker refused the certificate, and the hub was asked too short a time ago. [TUN-71] */
  #isDoubtOpen = false;
  /** Another program has stepped the clock, and the hub has not set it since. */
  #isStepOpen = false;

  constructor(options: TimeWatchOptions) {
    this.#options = options;
    this.#steps = new ClockSteps(options.clock);
  }

  async start(): Promise<void> {
    const { clock, signal } = this.#options;
    while (!signal.aborted) {
      await clock.sleep(STEP_CHECK_MS, signal);
      this.#look();
      const isDue = this.#isStepOpen && !this.#isRetrying && this.#steps.waitMs() === 0;
      if (signal.aborted) return;
      if (this.#isStale || isDue) await this.sync("trusted");
      else if (this.#isDoubtOpen) await this.sync("refused");
    }
  }

  async sync(dates: CertificateDates): Promise<boolean> {
    const { readClock, source } = this.#options;
    let moved = false;
    try {
      this.observe(await readClock());
      // [TUN-70] a program that steps the clock over and over is answered at a pace
      if (dates === "trusted" && this.#isStepOpen && this.#steps.waitMs() > 0) return false;
      const answer = await source.sync(dates);
      if (dates === "refused") this.#isDoubtOpen = answer === undefined;
      // Undefined: the hub was asked a short time ago, and the result of that attempt stands.
      if (answer !== undefined) this.#succeeded(answer);
      moved = answer?.moved ?? false;
    } catch (error) {
      this.#failed(asFault(error, "enrol.unreachable", "ask the hub for the time"));
    }
    if (this.#fault !== undefined) void this.#retry();
    return moved;
  }

  observe(clock: ClockState): void {
    const before = this.#clock?.state;
    this.#clock = clock;
    this.#isStale = false;
    if (clock.state === "synced") this.#isStepOpen = false;
    else if (before === "synced") this.#wasStepped(clock);
  }

  clock(): ClockState | undefined {
    return this.#clock;
  }

  isClockTrusted(): boolean {
    this.#look();
    return !this.#isStale && (this.#clock?.state ?? "unset") !== "unset";
  }

  isClockSynced(): boolean {
    return this.isClockTrusted() && this.#clock?.state === "synced";
  }

  fault(): Fault | undefined {
    return this.#fault;
  }

  stepped(): Fault | undefined {
    return this.#steps.trouble(this.#isStepOpen);
  }

  /** The warden may have set the clock itself: only its state tells whether somebody else did. */
  #look(): void {
    if (this.#steps.look()) this.#isStale = true;
  }

  #wasStepped({ state, nowMs }: ClockState): void {
    const { log, note } = this.#options;
    this.#isStepOpen = true;
    const times = this.#steps.count();
    if (times > STEPS_AT_ONCE_MAX) return;
    const to = new Date(nowMs).toISOString();
    log(`time: clock.stepped: another program has set the clock to ${to}`);
    note({ event: "clock.stepped", result: "failed", detail: { to, state } });
  }

  #succeeded({ clock, moved }: TimeAnswer): void {
    const isNews = moved || this.#clock?.state !== "synced";
    this.#steps.look(); // the warden's own setting is known, and needs no other question
    this.observe(clock);
    this.#fault = undefined;
    this.#retryMs = RETRY_MS_MIN;
    // What waits for the time is woken; a clock that was right before is no reason to try again.
    if (clock.state === "synced" && isNews) this.#options.onSynced();
  }

  #failed(fault: Fault): void {
    const { code, message } = fault;
    const isUntrusted = code === "tls.hub-untrusted" || code === "tls.hub-name";
    if (isUntrusted && this.#fault?.code !== code)
      this.#options.note({ event: "hub.untrusted", result: "refused", detail: faultDetail(fault) });
    this.#fault = fault;
    this.#options.log(`time: ${code}: ${message}`);
  }

  /** The next connection asks as well, but the present one may last for months. */
  async #retry(): Promise<void> {
    if (this.#isRetrying) return;
    const { clock, signal } = this.#options;
    this.#isRetrying = true;
    await clock.sleep(Math.max(this.#retryMs, this.#fault?.retryAfterMs ?? 0), signal); // [OTA-77]
    this.#isRetrying = false;
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MS_MAX);
    if (this.#fault !== undefined && !signal.aborted) await this.sync("trusted");
  }
}
