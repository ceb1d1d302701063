// How much the agent may have recorded: the log is bounded, and the hub needs time to witness it. [AUD-11]
import { Fault } from "../../hal/fault.ts";
import { canonicalJson } from "../../hal/format/json.ts";
import { createTokenBucket } from "../../hal/rate-limit.ts";
import type { Clock } from "../../hal/ports.ts";
import type { AuditEntry } from "../audit/format/index.ts";
import { APPENDED_BYTES_BURST_MAX, APPENDED_BYTES_PER_MINUTE_MAX, APPENDED_RECORD_BYTES } from "./limits.ts";

export interface Allowance {
  /** Books `entry`, whether it will be taken or not. @throws Fault `protocol.rate-limited` when there is no allowance left for it; later there is. */
  spend(entry: AuditEntry): void;
}

/** One for all connections: connecting again gives no new allowance. */
export function appendAllowance(clock: Clock): Allowance {
  const bytes = createTokenBucket(clock, APPENDED_BYTES_BURST_MAX, 60_000 / APPENDED_BYTES_PER_MINUTE_MAX);
  return {
    spend(entry) {
      if (bytes.take(APPENDED_RECORD_BYTES + Buffer.byteLength(canonicalJson(entry)))) return;
      throw new Fault(
        "protocol.rate-limited",
        `record "${entry.event}": the agent has used up what it may append; ${APPENDED_BYTES_PER_MINUTE_MAX} bytes come back a minute, try again then`,
      );
    },
  };
}
