// Orders from the command line: signed with an operator's key, transported by the hub, checked by
// the device.
import { randomBytes } from "node:crypto";
import { chmod, stat, writeFile } from "node:fs/promises";
import { generateKeyPairSync } from "node:crypto";
import { join } from "node:path";
import { test } from "tap";
import * as v from "valibot";
import type { OperationRequest } from "../../../agent/operations/format.ts";
import {
  challengeText,
  openOrder,
  type Order,
  orderKey,
  orderOfAnswer,
  parseChallenge,
} from "../../../warden/orders/format/index.ts";
import { planHash } from "../../../warden/lockdown/format/index.ts";
import { planLockdown } from "../../../warden/lockdown/plan/index.ts";
import { labPolicy, labSnapshot } from "../../lab/worlds/lockdown.ts";
import { labHub } from "../../lab/worlds/hub.ts";
import { admitted, hubCommand, listening } from "../../lab/worlds/hub-cli.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";

const madeSchema = v.object({ file: v.string(), keyid: v.string(), publicKey: v.string() });
const TRIED = planLockdown(labPolicy(), labSnapshot());
const BEFORE = planLockdown(labPolicy({ network: {} }), labSnapshot());
const PLAN = planHash(TRIED);
const NONCE = randomBytes(32).toString("hex");

async function operator(t: Parameters<typeof temporaryDirectory>[0]) {
  const file = join(await temporaryDirectory(t), "anna.key");
  const made = v.parse(madeSchema, (await hubCommand(undefined, "keygen", file, "--json")).data);
  const key = orderKey(made.publicKey);
  const keys = new Map(key === undefined ? [] : [[made.keyid, key] as const]);
  return { ...made, keys, opened: ({ args }: OperationRequest): Order => openOrder(String(args["order"]), keys).order };
}

test("[CON-4] keygen makes a key that only its owner can read, and answer signs a console's challenge in one line", async (t) => {
  const { file, keys, keyid } = await operator(t);
  t.equal((await stat(file)).mode & 0o777, 0o600);
  t.match(await hubCommand(undefined, "keygen", file), {
    code: 1,
    err: [/file\.write-failed: .*a key is never overwritten; choose another name/],
  });
  const challenge = parseChallenge(`sp1/console.login/GW-4711/${NONCE}`);
  const { code, out, err } = await hubCommand(undefined, "answer", challengeText(challenge), "--key", file, "--hold", "60s");
  t.match({ code, out: out.length, err }, { code: 0, out: 1, err: [/console\.login on "GW-4711"/, /valid until/] });
  t.ok((out[0] ?? "").length <= 256, "it fits on one line of the console");
  const { order, keyid: by } = openOrder(JSON.stringify(orderOfAnswer(challenge, out[0] ?? "")), keys);
  t.match(order, { verb: "console.login", deviceId: "GW-4711", nonce: NONCE });
  t.equal(by, keyid);
  const leftMs = Date.parse(order.notAfter) - Date.now();
  t.ok(leftMs > 0 && leftMs <= 60_000);
  t.match(await hubCommand(undefined, "answer", "sp1/x", "--key", file), { code: 1, err: [/order\.invalid/] });
  t.match(await hubCommand(undefined, "answer", challengeText(challenge)), { code: 2, err: [/needs --key/, /usage/] });
});

test("a key that others may read, or of a kind that orders do not accept, is refused", async (t) => {
  const { file } = await operator(t);
  const sign = async () => hubCommand(undefined, "answer", `sp1/console.login/GW-4711/${NONCE}`, "--key", file);
  await chmod(file, 0o644);
  t.match(await sign(), { code: 1, out: [], err: [/hub\.key-unusable: .*others may read it \(mode 0644\)/] });
  await chmod(file, 0o600);
  await writeFile(file, generateKeyPairSync("x25519").privateKey.export({ format: "pem", type: "pkcs8" }));
  t.match(await sign(), { code: 1, err: [/hub\.key-unusable: .*expected an Ed25519 or ECDSA P-256 key/] });
  await writeFile(file, "no key");
  t.match(await sign(), { code: 1, err: [/hub\.key-unusable/] });
  await writeFile(file, generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ format: "pem", type: "pkcs8" }));
  t.match(await sign(), { code: 0 });
});

test("[OPS-7] an order is signed over a nonce that the device made for it, and sent as the operation of its verb", async (t) => {
  const { hub, state } = await labHub(t);
  const { file, keyid, opened } = await operator(t);
  const orders: Order[] = [];
  await listening(t, hub, await admitted(hub, "gw-1"), (request) => {
    if (request.operation === "order.nonce") return { result: { deviceId: "gw-1", nonce: NONCE } };
    orders.push(opened(request));
    return { result: { rebooting: true } };
  });
  const reason = "new fuse";
  const done = await hubCommand(state, "order", "gw-1", "system.reboot", "--key", file, "--reason", reason, "--json");
  t.equal(done.code, 0, done.err.join());
  t.match(done.data, { operation: "system.reboot", state: "answered", result: { rebooting: true } });
  t.match(orders, [{ v: 1, deviceId: "gw-1", nonce: NONCE, verb: "system.reboot", reason }]);
  t.ok(Date.parse(orders[0]?.notAfter ?? "") > Date.now());
  const asked = (await hub.store.journal.tail(10, "info")).filter(({ event }) => event === "operation.asked");
  t.match(asked, [
    { detail: { operation: "order.nonce", verb: "system.reboot" } },
    { deviceId: "gw-1", detail: { operation: "system.reboot", keyid, reason } },
  ]);
  t.match(await hubCommand(state, "order", "gw-1", "role.grant", "--key", file), {
    code: 2,
    err: [/VERB "role\.grant"/, /usage/],
  });
});

test("[OPS-9] no order is signed for a device that reports another id", async (t) => {
  const { hub, state } = await labHub(t);
  const { file } = await operator(t);
  const { heard } = await listening(t, hub, await admitted(hub, "gw-1"), () => ({ result: { deviceId: "gw-2", nonce: NONCE } }));
  t.match(await hubCommand(state, "order", "gw-1", "system.reboot", "--key", file), {
    code: 1,
    err: [/order\.invalid: .*"gw-2"/],
  });
  t.equal(heard.length, 1, "only the nonce was requested");
});

test("[LCK-12] [LCK-35] [LCK-20] lockdown confirm shows and signs the trial that the device reported after it connected again", async (t) => {
  const { hub, state } = await labHub(t);
  const { file, opened } = await operator(t);
  const orders: Order[] = [];
  const shown = { state: { at: "confirmed", counter: 2 }, open: [], usb: [] };
  const { report } = await listening(t, hub, await admitted(hub, "gw-1"), (request) => {
    if (request.operation === "lockdown.enforced") {
      const plan = request.args["of"] === "now" ? TRIED : BEFORE;
      return { result: { planHash: planHash(plan), plan } };
    }
    orders.push(opened(request));
    return { result: shown };
  });
  const trial = { kind: "lockdown.pending", counter: 2, planHash: PLAN, nonce: NONCE, confirmWithinMs: 60_000 };
  const none = await hubCommand(state, "lockdown", "confirm", "gw-1", "--key", file, "--wait", "0s");
  t.match(none, { code: 3, err: [/hub\.no-answer: .*no policy on trial/] });
  const waiting = hubCommand(state, "lockdown", "confirm", "gw-1", "--key", file, "--yes", "--json");
  await report("event", { kind: "life", life: "connected" });
  await report("event", trial);
  const done = await waiting;
  t.equal(done.code, 0, done.err.join());
  t.match(done.data, { operation: "lockdown.confirm", state: "answered", result: shown });
  t.match(done.err, [
    'lockdown.confirm on "gw-1"',
    `plan  ${PLAN}`,
    "      hashed again on this machine",
    "mode  enforce",
    "confirmed by one of these keys:",
    /^ {2}[0-9a-f]{64}$/u,
    "stays open under this plan:",
  ]);
  t.ok(done.err.some((line) => line.startsWith("opens, compared with what the device says")));
  const unread = await hubCommand(state, "lockdown", "confirm", "gw-1", "--key", file);
  t.equal(unread.code, 2);
  t.match(unread.err.join("\n"), /nobody can be asked here; read the above, then add --yes/u);
  const other = `sha256:${"cd".repeat(32)}`;
  t.match(await hubCommand(state, "lockdown", "revert", "gw-1", "--key", file, "--plan", other), {
    code: 1,
    err: [/lockdown\.not-pending: .*not sha256:cd/],
  });
  t.equal((await hubCommand(state, "lockdown", "revert", "gw-1", "--key", file, "--yes", "--plan", PLAN)).code, 0);
  t.match(orders, [
    { verb: "lockdown.confirm", nonce: NONCE, planHash: PLAN, deviceId: "gw-1" },
    { verb: "lockdown.revert", nonce: NONCE, planHash: PLAN },
  ]);
  await report("event", { ...trial, confirmWithinMs: 0 });
  const expired = await hubCommand(state, "lockdown", "confirm", "gw-1", "--key", file, "--wait", "0s");
  t.match(expired, { code: 3, err: [/or the trial has expired/] });
});
