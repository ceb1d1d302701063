// The order of a factory reset: its plan is shown and hashed again wherever it is signed, at the
// hub, away from it, and for a challenge on the serial console.
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { COMMANDS, mayUse } from "../../../agent/console/commands.ts";
import { resultText } from "../../../agent/console/results.ts";
import { renderChallenge } from "../../../agent/status/index.ts";
import { check } from "../../../hal/format/schema.ts";
import { deviceIdSchema } from "../../../hal/format/identity.ts";
import { challengeText, openOrder, orderKeyId, orderOfAnswer } from "../../../warden/orders/format/index.ts";
import { rolesFor } from "../../../warden/orders/rights.ts";
import { KEPT, LOST, type ResetPlan, resetPlanHash } from "../../../warden/reset/format.ts";
import { labHub } from "../../lab/worlds/hub.ts";
import { admitted, hubCommand, listening } from "../../lab/worlds/hub-cli.ts";
import { answer, ID, NONCE, operatorsMachine } from "../../lab/worlds/operators-machine.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";

const PLAN: ResetPlan = {
  v: 1,
  kind: "reset-plan",
  deviceId: check(deviceIdSchema, ID, "id"),
  identity: { protection: "tpm", keyFingerprint: `sha256:${"0a".repeat(32)}` },
  chip: "ours",
  version: "2.4.1",
  lost: [...LOST],
  kept: [...KEPT],
};
const HASH = resetPlanHash(PLAN);
const WIPE = { verb: "system.wipe", planHash: HASH, plan: PLAN } as const;

test("[ID-57] [OPS-26] the plan of a reset is shown whole, hashed again, and signed only as the device asked", async (t) => {
  const machine = await operatorsMachine(t);
  const signed = await answer(machine, WIPE, "--yes");
  t.equal(signed.code, 0, signed.err);
  for (const words of [
    HASH,
    PLAN.identity?.keyFingerprint ?? "?",
    "in the TPM, destroyed",
    "handed back",
    "the floors",
    "audit trail",
  ])
    t.ok(signed.err.includes(words), words);
  t.same(
    signed.shown.filter((line) => line.length > 80),
    [],
  );
  t.match(await answer(machine, WIPE), { code: 2, out: "" }, "somebody must have read it");
  const refused = async (change: object, why: RegExp): Promise<void> => {
    const { code, out, err } = await answer(machine, { ...WIPE, ...change }, "--yes");
    t.match({ code, out, err }, { code: 1, out: "", err: why });
  };
  await refused({ plan: undefined }, /order\.unresolved: .*is not at hand/u);
  await refused({ planHash: undefined }, /order\.unresolved: .*names no plan/u);
  await refused({ plan: { ...PLAN, kept: [] } }, /order\.unresolved: .*but the plan at hand has the hash/u);
  const other = { ...PLAN, deviceId: check(deviceIdSchema, "gw-2", "id") };
  await refused({ plan: other, planHash: resetPlanHash(other) }, /order\.unresolved: .*the plan is for "gw-2"/u);
  for (const plan of [
    {},
    null,
    "all",
    { ...PLAN, harmless: true },
    { ...PLAN, lost: ["nothing"] },
    { ...PLAN, version: "x".repeat(4000) },
  ])
    await refused({ plan }, /order\.unresolved/u);
});

test("[ID-57] [OPS-27] the hub asks the device for the plan, prints it with the request, and sends the order that came back", async (t) => {
  const machine = await operatorsMachine(t);
  const { hub, state } = await labHub(t);
  const orders: unknown[] = [];
  await listening(t, hub, await admitted(hub, ID), ({ operation, args }) => {
    if (operation === "order.nonce") return { result: { deviceId: ID, nonce: NONCE, planHash: HASH } };
    if (operation === "reset.plan") return { result: { planHash: HASH, plan: PLAN } };
    orders.push([operation, args["order"]]);
    return { result: { wiping: true } };
  });
  const printed = await hubCommand(state, "order", ID, "system.wipe", "--print");
  t.match(printed, { code: 0, data: { verb: "system.wipe", planHash: HASH, plan: PLAN } });
  const signed = await answer(machine, { ...WIPE, nonce: NONCE }, "--yes");
  const file = join(machine.directory, "answer");
  await writeFile(file, signed.out);
  t.match(await hubCommand(state, "order", ID, "--answer", file, "--json"), { code: 0, data: { result: { wiping: true } } });
  const here = await hubCommand(state, "order", ID, "system.wipe", "--key", machine.anna.keyFile, "--yes");
  t.equal(here.code, 0, here.err.join("\n"));
  t.match(orders, [
    ["system.wipe", String],
    ["system.wipe", String],
  ]);
});

test("[ID-57] [CON-4] at the serial console the plan is one line, with which the challenge is answered without a hub", async (t) => {
  const directory = await temporaryDirectory(t);
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const [key, file] = [join(directory, "ada.pem"), join(directory, "plan")];
  await writeFile(key, privateKey.export({ format: "pem", type: "pkcs8" }), { mode: 0o600 });
  const screen = resultText({ kind: "ask", operation: "reset.plan", show: "text" }, { planHash: HASH, plan: PLAN });
  t.match(screen, /^key {5}sha256:/mu);
  t.notMatch(screen, /[^\n\u0020-\u007e]/u, "printable");
  await writeFile(file, screen.trimEnd().split("\n").at(-1) ?? "");
  const challenge = {
    verb: "system.wipe",
    deviceId: PLAN.deviceId,
    nonce: randomBytes(32).toString("hex"),
    planHash: HASH,
  } as const;
  t.match(
    renderChallenge(challenge),
    /the plan that "wipe plan" prints \(PLAN\):\n\nsallyport-hub answer sp1\/system\.wipe\/.* --plan PLAN\n/u,
  );
  const answered = await hubCommand(undefined, "answer", challengeText(challenge), "--key", key, "--plan", file, "--yes");
  t.equal(answered.code, 0, answered.err.join("\n"));
  const keys = new Map([[orderKeyId(publicKey), publicKey]]);
  const { order } = openOrder(JSON.stringify(orderOfAnswer(challenge, answered.out[0] ?? "")), keys);
  t.match(order, { verb: "system.wipe", planHash: HASH, nonce: challenge.nonce });
  t.match(await hubCommand(undefined, "answer", challengeText(challenge), "--key", key, "--yes"), {
    code: 1,
    err: [/is not at hand: the device prints it/u],
  });
});

test("[ID-57] only the owner's role gives the order; the console offers it after a login only", async (t) => {
  t.same(rolesFor("system.wipe"), ["owner"]);
  const words = COMMANDS.filter(({ words: typed }) => typed.startsWith("wipe"));
  t.same(
    words.map(({ words: typed }) => typed),
    ["wipe plan", "wipe"],
  );
  t.match(resultText({ kind: "order", operation: "system.wipe" }, { wiping: true }), /restarts to be wiped/u);
  for (const command of words) {
    t.notOk(mayUse(command, undefined), "not before a login");
    t.ok(mayUse(command, ["owner"]));
  }
});
