// An order: a signed instruction by an operator to one device, to be carried out once. It is a DSSE
// envelope (github.com/secure-systems-lab/dsse, protocol.md 1.0.2). [OPS-7]
import * as v from "valibot";
import { type KeyObject, sign, verify } from "node:crypto";
import { Fault } from "../../../hal/fault.ts";
import { canonicalJson, parseCanonicalJson, parseJson } from "../../../hal/format/json.ts";
import { check } from "../../../hal/format/schema.ts";
import { deviceIdSchema } from "../../../hal/format/identity.ts";
import { nonceSchema } from "../../../ota/format/time.ts";

export const ORDER_PAYLOAD_TYPE = "application/vnd.sallyport.order+json";
export const ORDER_BYTES_MAX = 8192;
export const ORDER_SIGNATURES_MAX = 8;

/**
 * Everything that needs an order: all that opens, reverts, reboots, wipes or grants. Verbs without
 * an executor are refused.
 */
export const orderVerbSchema = v.picklist([
  "lockdown.confirm",
  "lockdown.open",
  "lockdown.revert",
  "system.reboot",
  "system.wipe",
  "update.approve",
  "update.revert",
  "role.grant",
  /** A stronger key in the place of the present one. [ID-65] */
  "key.upgrade",
  /** Login of a person at the serial console. What it grants ends with the session. [CON-4] */
  "console.login",
]);
export type OrderVerb = v.InferOutput<typeof orderVerbSchema>;

export const planHashSchema = v.pipe(v.string(), v.regex(/^sha256:[0-9a-f]{64}$/, "expected sha256: and 64 hex digits"));
export const orderSchema = v.strictObject({
  v: v.literal(1),
  deviceId: deviceIdSchema,
  /** Issued by the device's warden, used once. */
  nonce: nonceSchema,
  verb: orderVerbSchema,
  /** SHA-256 of the plan that the signer saw, for verbs that carry one out. */
  planHash: v.optional(planHashSchema),
  /**
   * The order is refused after this moment by the device's clock. Where the clock is unset, the
   * nonce alone bounds its life.
   */
  notAfter: v.pipe(
    v.string(),
    v.regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, "expected RFC 3339 UTC with milliseconds"),
    v.check(isMoment, "expected a date that exists"), // an invalid date would compare as never past
  ),
  /** The reason, for the audit trail. */
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

/**
 * DSSE's pre-authentication encoding. The lengths keep type and payload from running into each
 * other.
 */
export function preAuthenticationEncoding(payloadType: string, payload: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`DSSEv1 ${Buffer.byteLength(payloadType)} ${payloadType} ${payload.byteLength} `), payload]);
}

/**
 * Signs with Ed25519, or with ECDSA P-256 over SHA-256.
 * @throws Fault `order.invalid` for a key of another kind.
 */
export function signOrder(order: Order, privateKey: KeyObject, keyid: string): OrderEnvelope {
  const payload = Buffer.from(canonicalJson(order));
  const sig = sign(digestFor(privateKey), preAuthenticationEncoding(ORDER_PAYLOAD_TYPE, payload), privateKey);
  return {
    payloadType: ORDER_PAYLOAD_TYPE,
    payload: payload.toString("base64"),
    signatures: [{ keyid, sig: sig.toString("base64") }],
  };
}

/** True for a valid moment in its only spelling. Date.parse would take 30 February for 2 March. */
function isMoment(text: string): boolean {
  const unixMs = Date.parse(text);
  return Number.isFinite(unixMs) && new Date(unixMs).toISOString() === text;
}

/**
 * [OPS-7] The order in an envelope that at least one of `keys` signed, parsed from the very bytes
 * that were verified. The caller must judge device, nonce and time.
 * @throws Fault `order.invalid` for another form, `order.bad-signature` when no key of `keys`
 *   signed it.
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

/**
 * The order in an envelope whose signature nobody checked, for a carrier that must know where it
 * goes. The device judges it.
 * @returns the order, and the id of the key that claims to have signed it.
 * @throws Fault `order.invalid`.
 */
export function readOrderUnverified(encoded: Uint8Array | string): { readonly order: Order; readonly keyid: string } {
  const envelope = decode(envelopeSchema, () => parseJson(encoded, ORDER_BYTES_MAX, "order"), "order");
  const payload = Buffer.from(envelope.payload, "base64");
  return {
    order: decode(orderSchema, () => parseCanonicalJson(payload, ORDER_BYTES_MAX, "order payload"), "order payload"),
    keyid: envelope.signatures[0]?.keyid ?? "",
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

/**
 * The digest depends on the kind of key, and the kind on the owner of the key, never on the
 * envelope.
 */
function digestFor(key: KeyObject): "sha256" | null {
  if (key.asymmetricKeyType === "ed25519") return null;
  if (key.asymmetricKeyType === "ec" && key.asymmetricKeyDetails?.namedCurve === "prime256v1") return "sha256";
  throw new Fault(
    "order.invalid",
    `orders are signed with Ed25519 or ECDSA P-256, this key is ${key.asymmetricKeyType ?? "secret"}`,
  );
}
