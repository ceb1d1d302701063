// Refusals go into the audit log, but a flood of them must not become the log. [OPS-2]
import { Fault } from "../../hal/fault.ts";
import { createTokenBucket } from "../../hal/rate-limit.ts";
import type { Clock } from "../../hal/ports.ts";
import type { AuditEntry } from "../audit/format/index.ts";
import { REFUSAL_RECORDED_PERIOD_MS, REFUSALS_RECORDED_BURST_MAX } from "./limits.ts";

export interface Refusals {
  /**
   * Records that `verb` was refused for `fault`; resolves when the record is durable, at once when it is only counted.
   * Never throws: what can't be recorded is told to `report`, the refusal stands.
   */
  record(verb: string, fault: Fault): Promise<void>;
}

/**
 * @param append the audit log's.
 * @param report where a refusal goes that the log could not take, for the system's journal.
 */
export function refusals(append: (entry: AuditEntry) => Promise<number>, clock: Clock, report: (fault: Fault) => void): Refusals {
  const bucket = createTokenBucket(clock, REFUSALS_RECORDED_BURST_MAX, REFUSAL_RECORDED_PERIOD_MS);
  let suppressed = 0;
  return {
    async record(verb, fault) {
      if (SAYS_IT_ITSELF.includes(verb) && !fault.code.startsWith("protocol.")) return;
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
        if (!(error instanceof Fault)) throw error;
        suppressed += counted + 1;
        report(error);
      }
    },
  };
}

/** Their parts record what they refuse, in words of their own. */
const SAYS_IT_ITSELF = ["trust.refresh", "order.submit", "order.nonce", "update.begin", "lockdown.propose"];

/** The catalogue has names of their own for two kinds of lies: about the time, and about what the hub has witnessed. */
function eventOf(verb: string, { code }: Fault): AuditEntry["event"] {
  if (code.startsWith("time.")) return "time.refused";
  const aboutTheLog = verb === "audit.cosigned" && !code.startsWith("protocol.");
  return aboutTheLog ? "audit.witness-refused" : "protocol.refused";
}
