// The events of the tunnel and its spool, written to the journal and the audit trail. Each change
// is recorded once, and what the network can repeat is rate-limited: it must not write the flash
// full.
import { asFault, type Fault } from "../../hal/fault.ts";
import { limitRate, limitLineRate, createTokenBucket } from "../../hal/rate-limit.ts";
import type { Clock } from "../../hal/ports.ts";
import type { AuditEntry } from "../../warden/audit/format/index.ts";
import { faultDetail } from "../fault-detail.ts";
import type { Drop, TunnelEvent } from "../tunnel/index.ts";
import {
  REFUSAL_LINE_REFILL_MS,
  REFUSAL_LINES_BURST_MAX,
  REFUSAL_RECORD_REFILL_MS,
  REFUSAL_RECORDS_BURST_MAX,
} from "./limits.ts";

/** Dropped messages are added up and recorded at each doubling of the sum: 1, 2, 4, 8 ... */
const FIRST_DROP_RECORDED = 1;

export interface EventLog {
  tunnelEvent(event: TunnelEvent): void;
  messagesDropped(drop: Drop): void;
  spoolFailed(error: unknown): void;
  /** A message was written to the spool. */
  spoolWorks(): void;
  /** The last failure of the spool's disk, until a message is written again. */
  spoolFault(): Fault | undefined;
}

type Of<K extends TunnelEvent["kind"]> = Extract<TunnelEvent, { kind: K }>;

/** @param note appends to the audit trail and never throws. @param log writes one journal line. */
export function createEventLog(
  note: (entry: AuditEntry) => void,
  log: (line: string) => void,
  clock: Pick<Clock, "monotonicMs" | "sleep">,
): EventLog {
  return new SessionEventLog(note, log, clock);
}

class SessionEventLog implements EventLog {
  readonly #note: (entry: AuditEntry) => void;
  readonly #log: (line: string) => void;
  readonly #logRefusedInput: (line: string) => void;
  readonly #noteRefusedInput: (fault: Fault) => void;
  /** Code of the last refused connection, until one succeeds. */
  #refusalCode: string | undefined;
  /** Code of the last refused message. */
  #inputCode: string | undefined;
  #dropped = 0;
  #dropsRecordedAt = FIRST_DROP_RECORDED;
  #spoolFault: Fault | undefined;

  constructor(note: (entry: AuditEntry) => void, log: (line: string) => void, clock: Pick<Clock, "monotonicMs" | "sleep">) {
    this.#note = note;
    this.#log = log;
    this.#logRefusedInput = limitLineRate(createTokenBucket(clock, REFUSAL_LINES_BURST_MAX, REFUSAL_LINE_REFILL_MS), log);
    this.#noteRefusedInput = limitRate(
      createTokenBucket(clock, REFUSAL_RECORDS_BURST_MAX, REFUSAL_RECORD_REFILL_MS),
      (fault: Fault, withheld) =>
        note({
          event: "input.refused",
          result: "refused",
          detail: { ...faultDetail(fault), ...(withheld > 0 && { withheld }) },
        }),
    );
  }

  tunnelEvent(event: TunnelEvent): void {
    switch (event.kind) {
      case "connected":
        return this.#connected(event);
      case "disconnected":
        return this.#disconnected(event);
      case "refused":
        return this.#refused(event);
      case "kicked":
        return this.#kicked(event);
      case "set-aside":
        return this.#setAside(event);
      case "paused":
        return this.#paused(event);
      case "input-refused":
        return this.#inputRefused(event);
      case "telemetry-lost":
      case "memory-fault":
        return this.#log(`tunnel: ${event.fault.code}: ${event.fault.message}`);
    }
  }

  messagesDropped({ class: cls, reason, messages }: Drop): void {
    this.#dropped += messages;
    this.#log(`spool dropped ${messages} of class ${cls}: ${reason}`);
    if (this.#dropped < this.#dropsRecordedAt) return;
    this.#dropsRecordedAt = this.#dropped * 2;
    this.#note({ event: "spool.dropped", result: "failed", detail: { class: cls, reason, messages: this.#dropped } });
  }

  spoolFailed(error: unknown): void {
    const fault = asFault(error, "file.write-failed", "write the message spool");
    this.#spoolFault = fault;
    this.#log(`spool: ${fault.code}: ${fault.message}`);
  }

  spoolWorks(): void {
    this.#spoolFault = undefined;
  }

  spoolFault(): Fault | undefined {
    return this.#spoolFault;
  }

  #connected({ facts: { peer, protocol, cipher, group, mqtt } }: Of<"connected">): void {
    this.#refusalCode = undefined;
    this.#log(`tunnel connected to "${peer}": ${protocol} ${cipher} ${group}, MQTT ${mqtt}`);
    this.#note({ event: "tunnel.connected", result: "ok", detail: { peer, protocol, cipher, group, mqtt } });
  }

  #disconnected({ by, fault }: Of<"disconnected">): void {
    this.#log(`tunnel disconnected by ${by}: ${fault.message}`);
    this.#note({
      event: "tunnel.disconnected",
      result: by === "us" ? "ok" : "failed",
      detail: { by, code: fault.code },
    });
  }

  #refused({ fault }: Of<"refused">): void {
    this.#log(`tunnel: ${fault.code}: ${fault.message}`);
    if (this.#refusalCode === fault.code) return;
    this.#refusalCode = fault.code;
    const isUntrusted = fault.code === "tls.hub-untrusted" || fault.code === "tls.hub-name";
    this.#note({
      event: isUntrusted ? "hub.untrusted" : "tunnel.refused",
      result: "refused",
      detail: faultDetail(fault),
    });
  }

  #kicked({ kicks, fault }: Of<"kicked">): void {
    this.#log(`tunnel kicked: ${fault.message}`);
    this.#note({ event: "tunnel.kicked", result: "failed", detail: { kicks, message: faultDetail(fault).message } });
  }

  /** The tunnel limits their rate. [TUN-81] */
  #setAside({ channel, bytes, fault }: Of<"set-aside">): void {
    this.#log(`set a message aside: ${fault.message}`);
    this.#note({ event: "spool.set-aside", result: "failed", detail: { channel, bytes, ...faultDetail(fault) } });
  }

  /** At most once in a quarter of an hour for each topic. [TUN-82] */
  #paused({ fault }: Of<"paused">): void {
    this.#log(`tunnel: ${fault.code}: ${fault.message}`);
    this.#note({ event: "spool.paused", result: "failed", detail: faultDetail(fault) });
  }

  /** Refused messages come from outside, at any rate. */
  #inputRefused({ channel, fault }: Of<"input-refused">): void {
    this.#logRefusedInput(`message refused${channel === undefined ? "" : ` on ${channel}`}: ${fault.message}`);
    if (this.#inputCode !== fault.code) this.#noteRefusedInput(fault);
    this.#inputCode = fault.code;
  }
}
