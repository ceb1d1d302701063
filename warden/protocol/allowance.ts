// The append allowance: how much the agent may add to the log, which is bounded and which the hub
// needs time to witness. [AUD-26]
import { Fault } from "../../hal/fault.ts";
import { canonicalJson } from "../../hal/format/json.ts";
import { createTokenBucket } from "../../hal/rate-limit.ts";
import type { Clock } from "../../hal/ports.ts";
import type { AuditEntry } from "../audit/format/index.ts";
import { APPENDED_BYTES_BURST_MAX, APPENDED_BYTES_PER_MINUTE_MAX, APPENDED_RECORD_BYTES } from "./limits.ts";

export interface AppendAllowance {
  /**
   * Charges `entry`, whether or not the log takes it.
   * @throws Fault `protocol.rate-limited` when the allowance is used up for now.
   */
  spend(entry: AuditEntry): void;
}

/** One allowance for all connections: a new connection brings no new allowance. */
export function createAppendAllowance(clock: Clock): AppendAllowance {
  const bytes = createTokenBucket(clock, APPENDED_BYTES_BURST_MAX, 60_000 / APPENDED_BYTES_PER_MINUTE_MAX);
  return {
    spend(entry) {
      if (bytes.take(APPENDED_RECORD_BYTES + Buffer.byteLength(canonicalJson(entry)))) return;
      throw new Fault(
        "protocol.rate-limited",
        `record "${entry.event}": the agent has used up its append allowance, which regains ${APPENDED_BYTES_PER_MINUTE_MAX} bytes a minute; try again later`,
      );
    },
  };
}
