// Challenge and answer: an order requested on a screen and answered by typing, for a serial line
// and a laptop without a network between them. [CON-4]
import * as v from "valibot";
import type { KeyObject } from "node:crypto";
import { Fault } from "../../../hal/fault.ts";
import { canonicalJson } from "../../../hal/format/json.ts";
import { check } from "../../../hal/format/schema.ts";
import { deviceIdSchema } from "../../../hal/format/identity.ts";
import { nonceSchema } from "../../../ota/format/time.ts";
import { keyIdSchema } from "../../order-key/format.ts";
import { type Order, ORDER_PAYLOAD_TYPE, type OrderEnvelope, orderVerbSchema, planHashSchema, signOrder } from "./order.ts";

export const challengeSchema = v.strictObject({
  verb: orderVerbSchema,
  deviceId: deviceIdSchema,
  nonce: nonceSchema,
  planHash: v.optional(planHashSchema),
});
export type Challenge = v.InferOutput<typeof challengeSchema>;

const PREFIX = "sp1";
const ANSWER_PATTERN = /^([0-9a-f]{64})\.(\d{1,11})\.([A-Za-z0-9_-]{80,100})$/u;

/**
 * One word without blanks, at most 256 characters: `sp1/console.login/GW-4711/<nonce>`, followed by
 * `/<plan hash>` where the verb has one.
 */
export function challengeText({ verb, deviceId, nonce, planHash }: Challenge): string {
  return [PREFIX, verb, deviceId, nonce, ...(planHash === undefined ? [] : [planHash])].join("/");
}

/** @throws Fault `order.invalid`. */
export function parseChallenge(text: string): Challenge {
  const [prefix, verb, deviceId, nonce, planHash, ...rest] = text.trim().slice(0, 512).split("/");
  if (prefix !== PREFIX || rest.length > 0)
    throw new Fault("order.invalid", `read a challenge: expected ${PREFIX}/VERB/DEVICE/NONCE as the device shows it`);
  const parts = { verb, deviceId, nonce, ...(planHash === undefined ? {} : { planHash }) };
  return check(challengeSchema, parts, "challenge", "order.invalid");
}

/**
 * Signs what the challenge requests.
 * @returns one line to type at the device: key id, last second of validity, signature.
 * @throws Fault `order.invalid` for a kind of key that orders do not use.
 */
export function answerText(challenge: Challenge, privateKey: KeyObject, keyid: string, notAfterS: number): string {
  const [signature] = signOrder(orderOf(challenge, notAfterS), privateKey, keyid).signatures;
  return `${keyid}.${notAfterS}.${Buffer.from(signature?.sig ?? "", "base64").toString("base64url")}`;
}

/**
 * [CON-4] The order that the answer signs. It is rebuilt from the challenge that was given here, so
 * nothing in it rests on the answer but its last second.
 * @throws Fault `order.invalid`.
 */
export function orderOfAnswer(challenge: Challenge, text: string): OrderEnvelope {
  const [, keyid, notAfterS, signature] = ANSWER_PATTERN.exec(text.trim()) ?? [];
  if (keyid === undefined || notAfterS === undefined || signature === undefined)
    throw new Fault(
      "order.invalid",
      "read an answer: expected one line, KEYID.SECONDS.SIGNATURE, as sallyport-hub answer prints it",
    );
  return {
    payloadType: ORDER_PAYLOAD_TYPE,
    payload: Buffer.from(canonicalJson(orderOf(challenge, Number(notAfterS)))).toString("base64"),
    signatures: [
      {
        keyid: check(keyIdSchema, keyid, "key id", "order.invalid"),
        sig: Buffer.from(signature, "base64url").toString("base64"),
      },
    ],
  };
}

const SECONDS_MAX = 253_402_300_799; // the end of 9999

function orderOf({ verb, deviceId, nonce, planHash }: Challenge, notAfterS: number): Order {
  if (notAfterS > SECONDS_MAX) throw new Fault("order.invalid", "read an answer: expected a last second before the year 10000");
  return {
    v: 1,
    deviceId,
    nonce,
    verb,
    ...(planHash === undefined ? {} : { planHash }),
    notAfter: new Date(notAfterS * 1000).toISOString(),
  };
}
