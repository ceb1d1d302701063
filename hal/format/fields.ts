// Schemas of single fields that many formats share.
import * as v from "valibot";

/** A whole number from 0 to 2^53 - 1. */
export const countSchema = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

/** Standard base64 (RFC 4648 section 4) of at most `bytesMax` bytes. */
export const base64Schema = (bytesMax: number) =>
  v.pipe(v.string(), v.maxLength(Math.ceil(bytesMax / 3) * 4), v.base64("expected base64"));

/**
 * A list that is counted before its items are looked at. `v.maxLength` behind `v.array` counts what
 * was validated already. [STA-12]
 */
export const listSchema = <const S extends v.GenericSchema>(item: S, itemsMax: number) =>
  v.pipe(v.array(v.unknown()), v.maxLength(itemsMax, `expected at most ${itemsMax} items`), v.array(item));

/** SHA-256 in lower-case hex. */
export const sha256Schema = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, "expected 64 hex digits"));

/** One sentence for a person. */
export const shortTextSchema = v.pipe(v.string(), v.maxLength(256));
