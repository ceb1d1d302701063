// The clock as the warden last told of it, and hub time asked for until it is had. [ID-10]
import { asFault, type Fault } from "../../hal/fault.ts";
import type { Clock } from "../../hal/ports.ts";
import type { AuditEntry } from "../../warden/audit/format/index.ts";
import type { WardenClient } from "../../warden/client/index.ts";
import type { ClockState } from "../../warden/time/format.ts";
import { RETRY_MS_MAX, RETRY_MS_MIN } from "./limits.ts";
import type { TimeSync } from "./sync.ts";

export interface TimeWatch {
  /**
   * Asks now, and again later when it fails. Never rejects: a hub without time is no reason to stop.
   * @returns whether the clock was wrong and is right now.
   */
  sync(dates: "in-doubt" | "believed"): Promise<boolean>;
  /** Somebody else asked the warden. */
  saw(clock: ClockState): void;
  clock(): ClockState | undefined;
  /** Why the last question failed, until one succeeds. */
  fault(): Fault | undefined;
}

export function createTimeWatch(parts: {
  readonly warden: WardenClient;
  /** Undefined until the device has a name. */
  readonly source: () => TimeSync | undefined;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly log: (line: string) => void;
  /** For the audit trail; never throws. */
  readonly note: (entry: AuditEntry) => void;
  readonly onSynced: () => void;
}): TimeWatch {
  const { warden, clock, signal, log, note } = parts;
  const held: { clock: ClockState | undefined; fault: Fault | undefined; waiting: boolean; retryMs: number } = {
    clock: undefined,
    fault: undefined,
    waiting: false,
    retryMs: RETRY_MS_MIN,
  };

  const failed = (fault: Fault): void => {
    const untrusted = fault.code === "tls.hub-untrusted" || fault.code === "tls.hub-name";
    if (untrusted && held.fault?.code !== fault.code)
      note({ event: "hub.untrusted", result: "refused", detail: { code: fault.code, message: fault.message.slice(0, 512) } });
    held.fault = fault;
    log(`time: ${fault.code}: ${fault.message}`);
  };

  const settled = (state: ClockState): void => {
    held.clock = state;
    held.fault = undefined;
    held.retryMs = RETRY_MS_MIN;
    if (state.state === "synced") parts.onSynced();
  };

  /** The next connection asks too, but one that stays up may be the last for months. */
  const askAgain = async (): Promise<void> => {
    if (held.waiting) return;
    held.waiting = true;
    await clock.sleep(held.retryMs, signal);
    held.waiting = false;
    held.retryMs = Math.min(held.retryMs * 2, RETRY_MS_MAX);
    if (held.fault !== undefined && !signal.aborted) await sync("believed");
  };

  const sync = async (dates: "in-doubt" | "believed"): Promise<boolean> => {
    let moved = false;
    try {
      held.clock = (await warden.call("status.read", {})).clock;
      const answer = await parts.source()?.sync(dates);
      if (answer !== undefined) settled(answer.clock); // else it was asked too short a time ago: what that met stands
      moved = answer?.moved ?? false;
    } catch (error) {
      failed(asFault(error, "enrol.unreachable", "ask the hub for the time"));
    }
    if (held.fault !== undefined) void askAgain();
    return moved;
  };

  return {
    sync,
    saw(state) {
      held.clock = state;
    },
    clock: () => held.clock,
    fault: () => held.fault,
  };
}
