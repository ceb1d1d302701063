// The state of the warden's clock, and the attempts to set it from the hub until one succeeds.
// [ID-10]
import { asFault, type Fault } from "../../hal/fault.ts";
import type { Clock } from "../../hal/ports.ts";
import type { AuditEntry } from "../../warden/audit/format/index.ts";
import type { WardenClient } from "../../warden/client/index.ts";
import type { ClockState } from "../../warden/time/format.ts";
import { faultDetail } from "../fault-detail.ts";
import type { CertificateDates, TimeSync } from "./sync.ts";

/** Wait after an attempt that failed, doubled from the first bound to the second. */
export const RETRY_MS_MIN = 5_000;
export const RETRY_MS_MAX = 300_000;

export interface TimeWatch {
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
  /** False while the clock is `unset` or its state is not known yet. */
  isClockTrusted(): boolean;
  /** Why the last attempt failed, until one succeeds. */
  fault(): Fault | undefined;
}

export interface TimeWatchOptions {
  readonly warden: Pick<WardenClient, "call">;
  readonly source: TimeSync;
  readonly clock: Pick<Clock, "sleep">;
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

  constructor(options: TimeWatchOptions) {
    this.#options = options;
  }

  async sync(dates: CertificateDates): Promise<boolean> {
    const { warden, source } = this.#options;
    let moved = false;
    try {
      this.#clock = (await warden.call("status.read", {})).clock;
      const answer = await source.sync(dates);
      // Undefined: the hub was asked a short time ago, and the result of that attempt stands.
      if (answer !== undefined) this.#succeeded(answer.clock);
      moved = answer?.moved ?? false;
    } catch (error) {
      this.#failed(asFault(error, "enrol.unreachable", "ask the hub for the time"));
    }
    if (this.#fault !== undefined) void this.#retry();
    return moved;
  }

  observe(clock: ClockState): void {
    this.#clock = clock;
  }

  clock(): ClockState | undefined {
    return this.#clock;
  }

  isClockTrusted(): boolean {
    return (this.#clock?.state ?? "unset") !== "unset";
  }

  fault(): Fault | undefined {
    return this.#fault;
  }

  #succeeded(clock: ClockState): void {
    this.#clock = clock;
    this.#fault = undefined;
    this.#retryMs = RETRY_MS_MIN;
    if (clock.state === "synced") this.#options.onSynced();
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
