// What happens to the tunnel, for journal and audit trail: every change once. A flapping network must not write the flash full.
import { asFault, type Fault } from "../../hal/fault.ts";
import { limitRate, limitLineRate, createTokenBucket } from "../../hal/rate-limit.ts";
import type { Clock } from "../../hal/ports.ts";
import type { AuditEntry } from "../../warden/audit/format/index.ts";
import type { Drop, TunnelEvent } from "../tunnel/index.ts";
import {
  REFUSAL_LINE_REFILL_MS,
  REFUSAL_LINES_BURST_MAX,
  REFUSAL_RECORD_REFILL_MS,
  REFUSAL_RECORDS_BURST_MAX,
} from "./limits.ts";

/** Drops are added up and told at doublings: 1, 2, 4, 8 ... messages. */
const FIRST_DROP_TOLD = 1;

export interface EventLog {
  readonly tunnel: (event: TunnelEvent) => void;
  readonly dropped: (drop: Drop) => void;
  readonly spoolFault: (error: unknown) => void;
  readonly spoolWorks: () => void;
  /** The last failure of the spool's disk, until a message on it shows that it works again. */
  readonly fault: () => Fault | undefined;
}

export function createEventLog(
  note: (entry: AuditEntry) => void,
  log: (line: string) => void,
  clock: Pick<Clock, "monotonicMs" | "sleep">,
): EventLog {
  const told: {
    refusal: string | undefined;
    input: string | undefined;
    drops: number;
    nextDrops: number;
    fault: Fault | undefined;
  } = { refusal: undefined, input: undefined, drops: 0, nextDrops: FIRST_DROP_TOLD, fault: undefined };

  const refused = (fault: Fault): void => {
    if (told.refusal === fault.code) return;
    told.refusal = fault.code;
    const untrusted = fault.code === "tls.hub-untrusted" || fault.code === "tls.hub-name";
    note({
      event: untrusted ? "hub.untrusted" : "tunnel.refused",
      result: "refused",
      detail: { code: fault.code, message: fault.message.slice(0, 512) },
    });
  };

  // What is refused comes from outside, as often as it likes.
  const logInput = limitLineRate(createTokenBucket(clock, REFUSAL_LINES_BURST_MAX, REFUSAL_LINE_REFILL_MS), log);
  const noteInput = limitRate(
    createTokenBucket(clock, REFUSAL_RECORDS_BURST_MAX, REFUSAL_RECORD_REFILL_MS),
    ({ code, message }: Fault, withheld) =>
      note({
        event: "input.refused",
        result: "refused",
        detail: { code, message: message.slice(0, 512), ...(withheld > 0 && { withheld }) },
      }),
  );

  return {
    tunnel(event) {
      switch (event.kind) {
        case "connected": {
          const { peer, protocol, cipher, group, mqtt } = event.facts;
          told.refusal = undefined;
          log(`tunnel connected to "${peer}": ${protocol} ${cipher} ${group}, MQTT ${mqtt}`);
          note({ event: "tunnel.connected", result: "ok", detail: { peer, protocol, cipher, group, mqtt } });
          return;
        }
        case "disconnected":
          log(`tunnel disconnected by ${event.by}: ${event.fault.message}`);
          note({
            event: "tunnel.disconnected",
            result: event.by === "us" ? "ok" : "failed",
            detail: { by: event.by, code: event.fault.code },
          });
          return;
        case "refused":
          log(`tunnel: ${event.fault.code}: ${event.fault.message}`);
          refused(event.fault);
          return;
        case "kicked":
          log(`tunnel kicked: ${event.fault.message}`);
          note({
            event: "tunnel.kicked",
            result: "failed",
            detail: { kicks: event.kicks, message: event.fault.message.slice(0, 512) },
          });
          return;
        case "input-refused":
          logInput(`message refused${event.channel === undefined ? "" : ` on ${event.channel}`}: ${event.fault.message}`);
          if (told.input !== event.fault.code) noteInput(event.fault);
          told.input = event.fault.code;
          return;
        case "telemetry-lost":
        case "memory-fault":
          log(`tunnel: ${event.fault.code}: ${event.fault.message}`);
      }
    },
    dropped(drop) {
      told.drops += drop.messages;
      log(`spool dropped ${drop.messages} of class ${drop.class}: ${drop.reason}`);
      if (told.drops < told.nextDrops) return;
      told.nextDrops = told.drops * 2;
      note({
        event: "spool.dropped",
        result: "failed",
        detail: { class: drop.class, reason: drop.reason, messages: told.drops },
      });
    },
    spoolFault(error) {
      told.fault = asFault(error, "file.write-failed", "write the message spool");
      log(`spool: ${told.fault.code}: ${told.fault.message}`);
    },
    spoolWorks() {
      told.fault = undefined;
    },
    fault: () => told.fault,
  };
}
