// The events of the TPM as audit records.
import type { Fault } from "../../hal/fault.ts";
import { clip } from "../../hal/format/text.ts";
import type { ChipPulse, Clock } from "../../hal/ports.ts";
import type { AuditEntry } from "../audit/format/index.ts";
import { createRateLimitedRecorder } from "../audit/index.ts";
import { RECORDS_BURST_MAX, RECORDS_PERIOD_MS, WHY_CHARACTERS_MAX } from "./limits.ts";
import type { ChipRecord } from "./record.ts";

export interface TpmTrail {
  owned(record: ChipRecord): Promise<void>;
  changed(why: Fault): Promise<void>;
  lockout(pulse: ChipPulse): Promise<void>;
  released(remains: readonly string[]): Promise<void>;
}

/** Another program can lock protected objects as often as it likes, so every kind has a pace. */
export function createTpmTrail(clock: Clock, record: (entry: AuditEntry) => Promise<void>): TpmTrail {
  const paced = (): ((entry: AuditEntry) => Promise<void>) =>
    createRateLimitedRecorder(record, clock, RECORDS_BURST_MAX, RECORDS_PERIOD_MS);
  const owned = paced();
  const changed = paced();
  const lockout = paced();
  const released = paced();
  return {
    owned: ({ storage, endorsement, storageKey }) =>
      owned({
        event: "tpm.owned",
        result: "ok",
        detail: {
          ...(storage === undefined ? {} : { storage }),
          ...(endorsement === undefined ? {} : { endorsement }),
          ...(storageKey === undefined ? {} : { storageKey }),
        },
      }),
    changed: ({ code, message }) =>
      changed({ event: "tpm.owner-changed", result: "failed", detail: { code, why: clip(message, WHY_CHARACTERS_MAX) } }),
    lockout: ({ failures, limits }) =>
      lockout({
        event: "tpm.lockout",
        result: "failed",
        detail: { failures, failuresMax: limits.tries, recoveryS: limits.recoveryS },
      }),
    released: (remains) =>
      released({
        event: "tpm.released",
        result: "ok",
        detail: remains.length === 0 ? {} : { remains: clip(remains.join("; "), WHY_CHARACTERS_MAX) },
      }),
  };
}
