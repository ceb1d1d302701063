// Orders against the vectors, which also serve to test another signer or verifier.
import { generateKeyPairSync, createPublicKey, type KeyObject } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "tap";
import * as v from "valibot";
import { FAULT_CODES } from "../../../hal/fault.ts";
import {
  openOrder,
  ORDER_BYTES_MAX,
  ORDER_SIGNATURES_MAX,
  orderKeyId,
  orderSchema,
  signOrder,
} from "../../../warden/orders/format/index.ts";
import { faultOf } from "../../lab/runner/faults.ts";

const FOLDER = new URL("../../vectors/orders/", import.meta.url);
const vectorSchema = v.strictObject({
  what: v.string(),
  keys: v.array(v.strictObject({ keyid: v.string(), publicKey: v.string() })),
  envelope: v.looseObject({ signatures: v.array(v.unknown()) }),
  expect: v.union([v.strictObject({ order: orderSchema }), v.strictObject({ fault: v.picklist(FAULT_CODES) })]),
});

const vectors = readdirSync(FOLDER).map((name) => ({
  name,
  ...v.parse(vectorSchema, JSON.parse(readFileSync(new URL(name, FOLDER), "utf8"))),
}));

const keysOf = (list: readonly { readonly keyid: string; readonly publicKey: string }[]): Map<string, KeyObject> =>
  new Map(list.map(({ keyid, publicKey }) => [keyid, createPublicKey(publicKey)]));

for (const { name, what, keys, envelope, expect } of vectors) {
  test(`[OPS-7] ${name}: ${what}`, async (t) => {
    const known = keysOf(keys);
    for (const [keyid, key] of known) t.equal(orderKeyId(key), keyid, "a key's id is the hash of its SubjectPublicKeyInfo");
    const encoded = JSON.stringify(envelope);
    if ("order" in expect) t.same(openOrder(encoded, known).order, expect.order);
    else t.equal((await faultOf(() => openOrder(encoded, known))).code, expect.fault);
  });
}

const ORDER = v.parse(orderSchema, {
  v: 1,
  deviceId: "GW-4711",
  nonce: "5a".repeat(32),
  verb: "system.reboot",
  notAfter: "2026-12-01T12:00:00.000Z",
});
const { publicKey, privateKey } = generateKeyPairSync("ed25519");
const KEYID = orderKeyId(publicKey);
const KEYS = new Map([[KEYID, publicKey]]);

test("[OPS-7] what was signed is what is opened, with the key that signed; opening it twice gives the same, because replay is up to the nonce", async (t) => {
  const encoded = JSON.stringify(signOrder(ORDER, privateKey, KEYID));
  t.same(openOrder(encoded, KEYS), { order: ORDER, keyid: KEYID });
  t.same(openOrder(Buffer.from(encoded), KEYS), { order: ORDER, keyid: KEYID });
});

test("[OPS-7] every changed byte of the envelope is refused or changes nothing of the order", async (t) => {
  const encoded = Buffer.from(JSON.stringify(signOrder(ORDER, privateKey, KEYID)));
  let refused = 0;
  for (let at = 0; at < encoded.byteLength; at++) {
    const turned = Buffer.from(encoded);
    turned[at] = (turned[at] ?? 0) ^ 0x01;
    try {
      if (JSON.stringify(openOrder(turned, KEYS).order) !== JSON.stringify(ORDER)) t.fail(`byte ${at} changed the order`);
    } catch {
      refused += 1;
    }
  }
  t.ok(
    refused > encoded.byteLength - 4,
    `${refused} of ${encoded.byteLength}; the rest are spare bits at the end of a base64 text`,
  );
});

test("[OPS-7] bounds: bytes, signatures, kinds of keys", async (t) => {
  const envelope = signOrder(ORDER, privateKey, KEYID);
  const [signature] = envelope.signatures;
  const many = (count: number): string =>
    JSON.stringify({ ...envelope, signatures: Array.from({ length: count }, () => signature) });
  t.ok(openOrder(many(ORDER_SIGNATURES_MAX), KEYS));
  t.equal((await faultOf(() => openOrder(many(ORDER_SIGNATURES_MAX + 1), KEYS))).code, "order.invalid");
  t.equal((await faultOf(() => openOrder(" ".repeat(ORDER_BYTES_MAX + 1), KEYS))).code, "order.invalid");
  t.equal((await faultOf(() => openOrder("no order", KEYS))).code, "order.invalid");
  t.equal(
    (await faultOf(() => openOrder(JSON.stringify(envelope), new Map()))).code,
    "order.bad-signature",
    "no keys, no orders",
  );
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
  t.equal((await faultOf(() => signOrder(ORDER, rsa.privateKey, "rsa"))).code, "order.invalid");
  t.equal((await faultOf(() => openOrder(JSON.stringify(envelope), new Map([[KEYID, rsa.publicKey]])))).code, "order.invalid");
});
