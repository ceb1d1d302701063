// An order for a key upgrade: the signer's tool finds out which key is replaced by what from the
// fingerprint that the signer knows, and signs nothing else.
import { test } from "tap";
import type { OperationRequest } from "../../agent/operations/format.ts";
import { check } from "../../hal/format/schema.ts";
import { fingerprintSchema } from "../../hal/format/identity.ts";
import { upgradePlanHash } from "../../warden/identity/format.ts";
import { openOrder, orderKey } from "../../warden/orders/format/index.ts";
import { labHub } from "../lab/worlds/hub.ts";
import { CONNECTED } from "../lab/worlds/device-status.ts";
import { admitted, hubCommand, listening } from "../lab/worlds/hub-cli.ts";
import { answer, hashOf, ID, NONCE, operatorsMachine } from "../lab/worlds/operators-machine.ts";

const KEY = check(fingerprintSchema, `sha256:${"ab".repeat(32)}`, "fingerprint");
const OTHER = check(fingerprintSchema, `sha256:${"cd".repeat(32)}`, "fingerprint");
const PLAN = { v: 1, kind: "key-upgrade", from: { protection: "file", keyFingerprint: KEY }, to: "tpm" } as const;

test("[ID-65] [OPS-26] an upgrade is signed when its hash stands for the plan at hand, and the plan is shown", async (t) => {
  const machine = await operatorsMachine(t);
  const members = { verb: "key.upgrade", planHash: upgradePlanHash(PLAN), plan: PLAN };
  t.match((await answer(machine, members)).err, /nobody can be asked here/u, "a person must have read it");
  const signed = await answer(machine, members, "--yes");
  t.equal(signed.code, 0, signed.err);
  for (const shown of ["replaces the key in a file", KEY, "by a new key in the TPM", "keeps its id"])
    t.ok(signed.err.includes(shown), `${shown}: ${signed.err}`);
  const key = orderKey(machine.anna.publicKey);
  const { order } = openOrder(signed.out, new Map(key === undefined ? [] : [[machine.anna.keyid, key]]));
  t.match(order, { verb: "key.upgrade", planHash: members.planHash, deviceId: ID, nonce: NONCE });
  for (const [change, message] of [
    [{ plan: { ...PLAN, to: "sealed" } }, /the plan at hand has the hash/u],
    [{ plan: { ...PLAN, from: { ...PLAN.from, keyFingerprint: OTHER } } }, /the plan at hand has the hash/u],
    [{ plan: { ...PLAN, harmless: true } }, /no plan of a key upgrade/u],
    [{ plan: null }, /no plan of a key upgrade/u],
    [{ plan: undefined }, /needs the fingerprint of the device's present key/u],
    [{ planHash: undefined }, /can make no stronger key/u],
    [{ planHash: hashOf("malware") }, /the plan at hand has the hash/u],
  ] as const) {
    const refused = await answer(machine, { ...members, ...change }, "--yes");
    t.match(refused, { code: 1, out: "", err: /order\.unresolved/u }, JSON.stringify(change));
    t.match(refused.err, message);
  }
});

test("[ID-65] through the hub and at the console, the plan is found from the fingerprint, and a device that names another key gets no signature", async (t) => {
  const machine = await operatorsMachine(t);
  const { hub, state } = await labHub(t);
  const says = { fingerprint: OTHER, planHash: upgradePlanHash(PLAN) };
  const orders: OperationRequest[] = [];
  await listening(t, hub, await admitted(hub, ID), (request) => {
    if (request.operation === "order.nonce") return { result: { deviceId: ID, nonce: NONCE, planHash: says.planHash } };
    if (request.operation === "status")
      return { result: { ...CONNECTED, key: { protection: "file", fingerprint: says.fingerprint } } };
    orders.push(request);
    return { result: {} };
  });
  const give = (...words: readonly string[]) => hubCommand(state, ...words, "--key", machine.anna.keyFile, "--yes");
  t.match(await give("order", ID, "key.upgrade"), { code: 1, err: [/order\.unresolved: .*is no upgrade of the key/u] });
  t.same(orders, []);
  says.fingerprint = KEY;
  const sent = await give("order", ID, "key.upgrade");
  t.match(orders, [{ operation: "key.upgrade" }], sent.err.join());
  const challenge = ["answer", `sp1/key.upgrade/${ID}/${NONCE}/${says.planHash}`, "--key", machine.anna.keyFile, "--yes"];
  t.match(await hubCommand(undefined, ...challenge), { code: 1, out: [], err: [/--fingerprint, as the status shows it/u] });
  t.match(await hubCommand(undefined, ...challenge, "--fingerprint", OTHER), {
    code: 1,
    out: [],
    err: [/is no upgrade of the key/u],
  });
  const answered = await hubCommand(undefined, ...challenge, "--fingerprint", KEY);
  t.match(answered, { code: 0, out: [/^[0-9a-f]{64}\.\d+\./u] }, answered.err.join());
});
