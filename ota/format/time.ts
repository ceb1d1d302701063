// Hub time: the request, the answer and the signed text. [ID-10]
import * as v from "valibot";
import { deviceIdSchema } from "../../hal/format/identity.ts";

export const HUB_TIME_PATH = "/.well-known/sallyport/time";
export const HUB_TIME_BYTES_MAX = 2048;
/** The warden accepts a nonce once, and for this long by the monotonic clock. */
export const HUB_TIME_NONCE_LIFE_MS = 60_000;

/** 32 random bytes, lower-case hex. */
export const nonceSchema = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, "expected 64 hex digits"));

export const hubTimeRequestSchema = v.strictObject({ deviceId: deviceIdSchema, nonce: nonceSchema });
export type HubTimeRequest = v.InferOutput<typeof hubTimeRequestSchema>;

export const hubTimeResponseSchema = v.strictObject({
  deviceId: deviceIdSchema,
  nonce: nonceSchema,
  /** RFC 3339 in UTC with milliseconds. */
  time: v.pipe(v.string(), v.regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, "expected RFC 3339 UTC with milliseconds")),
  /** Base64 of the Ed25519 signature by the hub's time key over {@link hubTimeSignedText}. */
  signature: v.pipe(v.string(), v.regex(/^[A-Za-z0-9+/]{86}==$/, "expected base64 of 64 bytes")),
});
export type HubTimeResponse = v.InferOutput<typeof hubTimeResponseSchema>;

/**
 * The bytes under the signature. The text has a form of its own, so that no other signature of that
 * key can be read as a time.
 */
export function hubTimeSignedText(response: Omit<HubTimeResponse, "signature">): string {
  return `sallyport-time/1\n${response.deviceId}\n${response.nonce}\n${response.time}\n`;
}
