// Nonces for hub time: each for one use, with a short life by the monotonic clock, in a bounded
// number. [ID-10]
import { randomBytes } from "node:crypto";
import { HUB_TIME_NONCE_LIFE_MS } from "../../ota/format/time.ts";

/** Nonces that wait for their answer. A further one replaces the oldest. */
export const NONCES_MAX = 16;
const NONCE_BYTES = 32;

export interface TimeNonces {
  /**
   * @returns a fresh nonce of 64 hex digits. Above {@link NONCES_MAX} the oldest is dropped: a
   *   flood of requests only spoils the nonces of its sender.
   */
  issue(monotonicMs: number): string;
  /**
   * True once for an issued nonce that is not older than its life. The nonce is spent either way.
   */
  consume(nonce: string, monotonicMs: number): boolean;
}

export function createTimeNonces(): TimeNonces {
  const issuedAtMs = new Map<string, number>(); // in order of issue
  return {
    issue(monotonicMs) {
      const [oldest] = issuedAtMs.keys();
      if (issuedAtMs.size >= NONCES_MAX && oldest !== undefined) issuedAtMs.delete(oldest);
      const nonce = randomBytes(NONCE_BYTES).toString("hex");
      issuedAtMs.set(nonce, monotonicMs);
      return nonce;
    },
    consume(nonce, monotonicMs) {
      const at = issuedAtMs.get(nonce);
      issuedAtMs.delete(nonce);
      return at !== undefined && monotonicMs - at <= HUB_TIME_NONCE_LIFE_MS;
    },
  };
}
