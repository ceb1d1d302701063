// The answer of an HTTP server that asks to be left alone for a while: RFC 9110 section 10.2.3.
// [OTA-77]

/** Bounds of what a server may make us wait: never at once, and never for ever. */
export const RETRY_AFTER_MS_MIN = 1000;
export const RETRY_AFTER_MS_MAX = 3_600_000;

/**
 * Reads seconds or a date. A date is taken relative to the answer's own Date, because our clock may
 * be wrong.
 * @param value of `Retry-After`. @param date of `Date`.
 * @returns a value between {@link RETRY_AFTER_MS_MIN} and {@link RETRY_AFTER_MS_MAX}; undefined
 *   when there is none, or when it says nothing. No time at all and a time that has passed say
 *   nothing: taken at its word, such a server would be asked without end and without back-off.
 */
export function readRetryAfterMs(value: string | undefined, date: string | undefined): number | undefined {
  const text = value?.trim() ?? "";
  const requestedMs = /^\d+$/u.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.parse(date ?? "");
  if (Number.isNaN(requestedMs) || requestedMs <= 0) return undefined;
  return Math.min(Math.max(requestedMs, RETRY_AFTER_MS_MIN), RETRY_AFTER_MS_MAX);
}
