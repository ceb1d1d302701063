// Date-times of metadata, TUF section 4.2: "YYYY-MM-DDTHH:MM:SSZ", always UTC.
import * as v from "valibot";

export const momentSchema = v.pipe(
  v.string(),
  v.regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/u, "expected YYYY-MM-DDTHH:MM:SSZ"),
  v.check((text) => momentText(Date.parse(text)) === text, "expected a date that exists"), // one that is none would compare as never past
);

/** Unix milliseconds as metadata writes them; fractions of a second are cut. NaN and what lies beyond the year 9999 give a text that is no moment. */
export function momentText(unixMs: number): string {
  const date = new Date(unixMs);
  return Number.isNaN(date.getTime()) ? "" : `${date.toISOString().slice(0, -5)}Z`;
}

/** @param moment a text that {@link momentSchema} accepted. */
export function momentMs(moment: string): number {
  return Date.parse(moment);
}
