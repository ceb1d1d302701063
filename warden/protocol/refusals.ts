// The recorder of refusals: they go into the audit log, but a flood of them must not fill it.
// [OPS-2]
import { asFault, type Fault } from "../../hal/fault.ts";
import { createTokenBucket } from "../../hal/rate-limit.ts";
import type { Clock } from "../../hal/ports.ts";
import type { AuditEntry } from "../audit/format/index.ts";
import { isWardenVerb, WARDEN_VERBS } from "./format.ts";
import { REFUSAL_RECORDED_PERIOD_MS, REFUSALS_RECORDED_BURST_MAX } from "./limits.ts";

export interface RefusalRecorder {
  /**
   * Records that `verb` was refused because of `fault`. Resolves when the record is durable, at
   * once when it is only counted. Never throws: a refusal that cannot be recorded is counted and
   * reported.
   */
  record(verb: string, fault: Fault): Promise<void>;
}

/**
 * @param append appends to the audit log.
 * @param report reports to the journal that the log could not take a record.
 */
export function createRefusalRecorder(
  append: (entry: AuditEntry) => Promise<number>,
  clock: Clock,
  report: (fault: Fault) => void,
): RefusalRecorder {
  const bucket = createTokenBucket(clock, REFUSALS_RECORDED_BURST_MAX, REFUSAL_RECORDED_PERIOD_MS);
  let suppressed = 0;
  return {
    async record(verb, fault) {
      if (isRecordedByService(verb) && !fault.code.startsWith("protocol.")) return;
      if (!bucket.take()) {
        suppressed += 1;
        return;
      }
      const counted = suppressed;
      suppressed = 0;
      const event = eventOf(verb, fault);
      const detail = { verb, code: fault.code, ...(counted === 0 ? {} : { suppressed: counted }) };
      try {
        await append({ event, result: "refused", principal: "agent", detail });
      } catch (error) {
        suppressed += counted + 1;
        report(asFault(error, "audit.write-failed", `record "${event}"`));
      }
    },
  };
}

function isRecordedByService(verb: string): boolean {
  return isWardenVerb(verb) && WARDEN_VERBS[verb].refusals === "service";
}

/**
 * Two kinds of false claims have events of their own: about the time, and about what the hub has
 * witnessed.
 */
function eventOf(verb: string, { code }: Fault): AuditEntry["event"] {
  if (code.startsWith("time.")) return "time.refused";
  const concernsLog = verb === "audit.cosigned" && !code.startsWith("protocol.");
  return concernsLog ? "audit.witness-refused" : "protocol.refused";
}
