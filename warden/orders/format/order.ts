// An order: what a person with the right key tells one device to do once. A DSSE envelope (github.com/secure-systems-lab/dsse, protocol.md 1.0.2). [OPS-7]
import * as v from "valibot";
import { type KeyObject, sign, verify } from "node:crypto";
import { Fault } from "../../../hal/fault.ts";
import { canonicalJson, parseCanonicalJson, parseJson } from "../../../hal/format/json.ts";
import { check } from "../../../hal/format/schema.ts";
import { deviceIdSchema } from "../../../hal/identity/format.ts";
import { nonceSchema } from "../../../ota/time/format.ts";

export const ORDER_PAYLOAD_TYPE = "application/vnd.sallyport.order+json";
export const ORDER_BYTES_MAX = 8192;
export const ORDER_SIGNATURES_MAX = 8;

/** What needs an order: all that opens, reverts, reboots, wipes or grants. Executors come with the parts that have them. */
export const orderVerbSchema = v.picklist([
  "lockdown.confirm",
  "lockdown.open",
  "lockdown.revert",
  "system.reboot",
  "system.wipe",
  "update.approve",
  "update.revert",
  "role.grant",
  /** A person at the serial console: what is granted ends with the session. [CON-4] */
  "console.login",
]);
export type OrderVerb = v.InferOutput<typeof orderVerbSchema>;

export const planHashSchema = v.pipe(v.string(), v.regex(/^sha256:[0-9a-f]{64}$/, "expected sha256: and 64 hex digits"));
export const orderSchema = v.strictObject({
  v: v.literal(1),
  deviceId: deviceIdSchema,
  /** Made by the device's warden, used once. */
  nonce: nonceSchema,
  verb: orderVerbSchema,
  /** SHA-256 of the plan the signer saw, for verbs that carry one out. */
  planHash: v.optional(planHashSchema),
  /** Refused after this moment by the device's clock; the nonce alone holds where the clock is unset. */
  notAfter: v.pipe(
    v.string(),
    v.regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, "expected RFC 3339 UTC with milliseconds"),
    v.check(isMoment, "expected a date that exists"), // a date that is none compares as never past
  ),
  /** For the audit trail: why. */
  reason: v.optional(v.pipe(v.string(), v.maxLength(256))),
});
export type Order = v.InferOutput<typeof orderSchema>;

const envelopeSchema = v.strictObject({
  payloadType: v.literal(ORDER_PAYLOAD_TYPE),
  payload: v.pipe(v.string(), v.maxLength(ORDER_BYTES_MAX), v.base64("expected base64")),
  signatures: v.pipe(
    v.array(
      v.strictObject({
        keyid: v.pipe(v.string(), v.maxLength(128)),
        sig: v.pipe(v.string(), v.maxLength(8192), v.base64("expected base64")),
      }),
    ),
    v.minLength(1),
    v.maxLength(ORDER_SIGNATURES_MAX),
  ),
});
export type OrderEnvelope = v.InferOutput<typeof envelopeSchema>;

/** DSSE's pre-authentication encoding: length-prefixed, so that type and payload can't slide into each other. */
export function preAuthenticationEncoding(payloadType: string, payload: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`DSSEv1 ${Buffer.byteLength(payloadType)} ${payloadType} ${payload.byteLength} `), payload]);
}

/** Signs with Ed25519, or with ECDSA P-256 over SHA-256. @throws Fault `order.invalid` for a key of another kind. */
export function signOrder(order: Order, privateKey: KeyObject, keyid: string): OrderEnvelope {
  const payload = Buffer.from(canonicalJson(order));
  const sig = sign(digestFor(privateKey), preAuthenticationEncoding(ORDER_PAYLOAD_TYPE, payload), privateKey);
  return {
    payloadType: ORDER_PAYLOAD_TYPE,
    payload: payload.toString("base64"),
    signatures: [{ keyid, sig: sig.toString("base64") }],
  };
}

/** True for the one spelling of a moment: 30 February would be taken for 2 March, hour 25 for no time at all. */
function isMoment(text: string): boolean {
  const unixMs = Date.parse(text);
  return Number.isFinite(unixMs) && new Date(unixMs).toISOString() === text;
}

/**
 * [OPS-7] The order in an envelope that at least one of `keys` signed, parsed from the very bytes that were verified. Device, nonce and time are the caller's to judge.
 * @throws Fault `order.invalid` for another form, `order.bad-signature` when no key of `keys` signed it.
 */
export function openOrder(
  encoded: Uint8Array | string,
  keys: ReadonlyMap<string, KeyObject>,
): { readonly order: Order; readonly keyid: string } {
  const envelope = decode(envelopeSchema, () => parseJson(encoded, ORDER_BYTES_MAX, "order"), "order");
  const payload = Buffer.from(envelope.payload, "base64");
  const signed = preAuthenticationEncoding(envelope.payloadType, payload);
  const signature = envelope.signatures.find(({ keyid, sig }) => {
    const key = keys.get(keyid);
    return key !== undefined && verify(digestFor(key), signed, key, Buffer.from(sig, "base64"));
  });
  if (signature === undefined) throw new Fault("order.bad-signature", "no key that may give this order signed it");
  return {
    order: decode(orderSchema, () => parseCanonicalJson(payload, ORDER_BYTES_MAX, "order payload"), "order payload"),
    keyid: signature.keyid,
  };
}

function decode<const S extends v.GenericSchema>(schema: S, parse: () => unknown, what: string): v.InferOutput<S> {
  try {
    return check(schema, parse(), what, "order.invalid");
  } catch (error) {
    if (error instanceof Fault && error.code !== "order.invalid")
      throw new Fault("order.invalid", error.message, { cause: error });
    throw error;
  }
}

/** What is hashed first depends on the kind of key, and the kind on who chose the key, never on the envelope. */
function digestFor(key: KeyObject): "sha256" | null {
  if (key.asymmetricKeyType === "ed25519") return null;
  if (key.asymmetricKeyType === "ec" && key.asymmetricKeyDetails?.namedCurve === "prime256v1") return "sha256";
  throw new Fault(
    "order.invalid",
    `orders are signed with Ed25519 or ECDSA P-256, this key is ${key.asymmetricKeyType ?? "secret"}`,
  );
}
