// Date-times of metadata, TUF section 4.2: "YYYY-MM-DDTHH:MM:SSZ", always UTC.
import * as v from "valibot";

export const momentSchema = v.pipe(
  v.string(),
  v.regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/u, "expected YYYY-MM-DDTHH:MM:SSZ"),
  // an impossible date would never compare as past
  v.check((text) => momentText(Date.parse(text)) === text, "expected a date that exists"),
);

/**
 * Formats Unix milliseconds as metadata writes them, without fractions of a second. NaN and times
 * after the year 9999 give a text that is not a moment.
 */
export function momentText(unixMs: number): string {
  const date = new Date(unixMs);
  return Number.isNaN(date.getTime()) ? "" : `${date.toISOString().slice(0, -5)}Z`;
}

/** @param moment a text that {@link momentSchema} accepted. */
export function momentMs(moment: string): number {
  return Date.parse(moment);
}
