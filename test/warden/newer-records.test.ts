// A device that fell back to its previous release: every record in its state directory is of a
// newer program.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { test } from "tap";
import { openConsoleRecord } from "../../agent/console/record.ts";
import { createCertificateReceipts } from "../../provisioning/certificate/receipts.ts";
import type { TunnelEvent } from "../../agent/tunnel/index.ts";
import { readMqtt5Refusal, writeMqtt5Refusal } from "../../agent/tunnel/record.ts";
import { createSetAside } from "../../agent/tunnel/set-aside.ts";
import { fakeClock } from "../lab/fakes/clock.ts";
import { Fault } from "../../hal/fault.ts";
import type { DurableFiles } from "../../hal/ports.ts";
import { canonicalJson, type JsonValue } from "../../hal/format/json.ts";
import { formatSettings, parseSettings } from "../../hub/state/settings.ts";
import { challengeText, orderOfAnswer, parseChallenge } from "../../warden/orders/format/index.ts";
import { labCustom } from "../lab/counterparts/repository.ts";
import { fakeFiles } from "../lab/fakes/files.ts";
import type { TestContext } from "../lab/runner/context.ts";
import { hubTime } from "../lab/counterparts/hub-signer.ts";
import { addPolicy, confirmPolicy, deviceInUse, KEY } from "../lab/worlds/device-in-use.ts";
import { DEVICE, rosterText } from "../lab/worlds/targets.ts";
import { broughtTo, filesInMemory, type MemoryFiles } from "../lab/worlds/whole-warden.ts";

const FIXTURES = new URL("../fixtures/newer-records/", import.meta.url);

/** Every durable record of the warden: the directory and the file. */
const RECORDS = [
  ["birth", "birth.json"],
  ["state", "clock.json"],
  ["state", "audit-pending.json"],
  ["state", "key-grant.json"],
  ["targets", "operators.taken"],
  ["targets", "policy.taken"],
  ["lockdown", "lockdown.json"],
  ["update", "floors.json"],
  ["update", "update.json"],
  ["update", "approved.json"],
] as const;

/** Where a record in the envelope is declared: those of {@link RECORDS}, then of agent and hub. */
const DECLARED_IN = [
  "hal/format/identity.ts",
  "warden/time/trusted-clock.ts",
  "warden/audit/pending-events.ts",
  "warden/identity/upgrade.ts",
  "warden/targets/stored-payload.ts",
  "warden/lockdown/record.ts",
  "ota/floor/record.ts",
  "ota/commit/record.ts",
  "warden/reset/record.ts",
  "warden/update/approval.ts",
  "warden/escrow/escrow.ts",
  "warden/tpm/record.ts",
  "agent/tunnel/record.ts",
  "agent/tunnel/set-aside.ts",
  "agent/console/record.ts",
  "provisioning/certificate/receipts.ts",
  "provisioning/upgrade/record.ts",
  "hub/state/settings.ts",
];

/** Files that are put without the envelope, each with the format that it has instead. */
const OTHER_FORMATS: Readonly<Record<string, string>> = {
  "hal/record.ts": "the envelope itself",
  "hal/damaged-files.ts": "passes on",
  "hal/linux/firewall/dead-man.ts": "a table in the language of nft, read by nft alone",
  "hal/linux/power.ts": "a text for the simulator of a board",
  "hal/linux/tpm-provider/activate.ts": "a configuration of OpenSSL",
  "hal/linux/keys/file.ts": "a key in PEM",
  "hal/linux/keys/sealed.ts": "a sealed key in TSS2 PEM",
  "hal/linux/keys/tpm.ts": "a key of the TPM in TSS2 PEM",
  "hal/linux/slots/choice.ts": "the boot choice of a simulated board, one line",
  "ota/trust/refresh.ts": "TUF metadata",
  "ota/trust/session.ts": "TUF metadata",
  "ota/trust/survey.ts": "TUF metadata, in memory",
  "provisioning/certificate/store.ts": "certificates in PEM",
  "provisioning/enrolment/record.ts": "a certificate request in DER",
  "warden/audit/key.ts": "a key in PEM",
  "warden/audit/checkpoints.ts": "signed notes",
  "warden/tpm/adopt.ts": "a copy of what its owner put there",
  "warden/tpm/record.ts": "the envelope, by its own reader: it is private",
  "warden/identity/birth-marker.ts": "a marker, whose presence counts",
};

const sourcesWith = (pattern: RegExp): readonly string[] =>
  ["agent", "warden", "hal", "ota", "provisioning", "hub"]
    .flatMap((folder) => readdirSync(folder, { recursive: true }).map((name) => join(folder, String(name))))
    .filter((path) => path.endsWith(".ts") && !path.endsWith(".d.ts") && pattern.test(readFileSync(path, "utf8")))
    .sort();

test("[STA-5] every durable record has the envelope and is in the table of this test", async (t) => {
  t.same(sourcesWith(/: RecordFormat<[^T]/u), [...DECLARED_IN].sort());
  t.same(sourcesWith(/\b(?:files|state)\??\.put\(/u), Object.keys(OTHER_FORMATS).sort());
});

async function inMemory(t: TestContext): Promise<Awaited<ReturnType<typeof deviceInUse>> & { readonly files: MemoryFiles }> {
  const files = filesInMemory();
  return { ...(await deviceInUse(t, files)), files };
}

const recordSchema = v.record(
  v.string(),
  v.custom<JsonValue>(() => true),
);

const recordIn = (
  files: MemoryFiles,
  [directory, name]: readonly [(typeof RECORDS)[number][0], string],
): Readonly<Record<string, JsonValue>> =>
  v.parse(recordSchema, JSON.parse(Buffer.from(files[directory].contents.get(name) ?? []).toString()));

function ahead(files: MemoryFiles, record: (typeof RECORDS)[number], change: Readonly<Record<string, JsonValue>>): void {
  const [directory, name] = record;
  files[directory].contents.set(name, Buffer.from(canonicalJson({ ...recordIn(files, record), ...change })));
}

test("[STA-5] with every record one version ahead, and usable, the warden is what it was and keeps what it does not know", async (t) => {
  const { world, files } = await inMemory(t);
  for (const record of RECORDS) ahead(files, record, { v: 4, readable: 1, later: { than: "this" } });
  const warden = await world.start(files);
  t.match(await warden.ask("identity.read", {}), { result: { identity: { id: DEVICE }, birth: { v: 3, keyFingerprint: KEY } } });
  const { result: status } = await warden.ask("status.read", {});
  t.match(status, { clock: { state: "synced" }, lockdown: { at: "confirmed", counter: 2 }, update: { phase: "committed" } });
  t.match(status, { audit: { dropped: 5 } });
  t.notOk(status?.["troubles"], JSON.stringify(status?.["troubles"]));
  addPolicy(world, 3);
  world.repository.publish("policy");
  await broughtTo(world, warden, "trust.refresh", {});
  await confirmPolicy(warden);
  t.match(recordIn(files, ["targets", "policy.taken"]), { v: 4, readable: 1, counter: 3, later: { than: "this" } });
  t.match(recordIn(files, ["lockdown", "lockdown.json"]), { v: 4, confirmed: { counter: 3 }, later: { than: "this" } });
  await warden.stop();
});

/** `value` with a member that nobody knows in each of its objects but maps, at any depth. */
function withUnknown(value: JsonValue, isMap = false): JsonValue {
  if (Array.isArray(value)) return value.map((each: JsonValue) => withUnknown(each));
  if (typeof value !== "object" || value === null) return value;
  const members = Object.entries(value).map(([name, each]) => [name, withUnknown(each ?? null, name === "lines")] as const);
  return isMap ? Object.fromEntries(members) : { ...Object.fromEntries(members), zLater: { than: "this" } };
}

test("[STA-5] a downgrade and an upgrade: what a newer program put anywhere into a record is still there, unless its place has changed", async (t) => {
  const { world, files } = await inMemory(t);
  // the policy is the operator's text, and an unknown member in it would make it another one
  for (const record of RECORDS) {
    const { confirmed, ...rest } = recordIn(files, record);
    const nested = withUnknown(
      confirmed === undefined ? rest : { ...rest, confirmed: { ...v.parse(recordSchema, confirmed), policy: 0 } },
    );
    const policy = confirmed === undefined ? undefined : v.parse(recordSchema, confirmed)["policy"];
    const { confirmed: kept, ...others } = v.parse(recordSchema, nested);
    const whole =
      kept === undefined ? others : { ...others, confirmed: { ...v.parse(recordSchema, kept), policy: policy ?? null } };
    ahead(files, record, { ...whole, v: 4, readable: 1 });
  }
  const before = RECORDS.map((record) => recordIn(files, record));
  const warden = await world.start(files);
  t.same((await warden.ask("status.read", {})).result?.["troubles"] ?? [], []);
  await warden.ask("birth.record", { protection: "file", keyFingerprint: KEY });
  const { result } = await warden.ask("time.nonce", {});
  await warden.ask("time.set", hubTime(world.hub.time, DEVICE, String(result?.["nonce"]), world.clock.nowMs()));
  addPolicy(world, 3);
  world.repository.publish("policy");
  await broughtTo(world, warden, "trust.refresh", {});
  await confirmPolicy(warden);
  await warden.stop();
  for (const [n, record] of RECORDS.entries()) {
    const [was, is] = [before[n] ?? {}, recordIn(files, record)];
    const { policy: _policy, counter: _counter, planHash: _hash, ...lost } = v.parse(recordSchema, was["confirmed"] ?? {});
    if (record[1] === "lockdown.json") {
      t.match(is, { v: 4, readable: 1, confirmed: { counter: 3 }, zLater: { than: "this" } });
      t.match(lost, { zLater: { than: "this" } }, "it was about the policy before");
      t.notOk(Object.hasOwn(v.parse(recordSchema, is["confirmed"]), "zLater"));
    } else if (record[1] === "policy.taken") t.match(is, { v: 4, readable: 1, counter: 3, zLater: { than: "this" } });
    else t.same(is, was, record[1]);
  }
});

test("[STA-5] with every record one version ahead, and not to be used, identity, floors and counters hold, and nothing is overwritten", async (t) => {
  const { world, files } = await inMemory(t);
  for (const record of RECORDS) ahead(files, record, { v: 4, readable: 4 });
  const warden = await world.start(files);
  t.match(await warden.ask("identity.read", {}), { result: { birth: { keyFingerprint: KEY } } });
  t.match(await warden.ask("birth.record", { protection: "file", keyFingerprint: KEY }), { result: { keyFingerprint: KEY } });
  const { result: status } = await warden.ask("status.read", {});
  t.match(status, { clock: { state: "unverified" }, update: { phase: "committed" }, lockdown: { at: "confirmed", counter: 2 } });
  for (const record of RECORDS.filter(([, name]) => name !== "clock.json"))
    t.match(recordIn(files, record), { v: 4, readable: 4 }, record[1]);
  await warden.stop();
});

test("[STA-5] the field's newer records: identity, tunnel and releases go on, and an unread policy is kept through a trial", async (t) => {
  for (const name of ["floors", "update", "lockdown"] as const) {
    const { world, files } = await inMemory(t);
    const bytes = readFileSync(new URL(`${name}.v2.json`, FIXTURES));
    const directory = name === "lockdown" ? "lockdown" : "update";
    files[directory].contents.set(`${name}.json`, bytes);
    files.birth.contents.set(
      "birth.json",
      Buffer.from(canonicalJson({ ...recordIn(files, ["birth", "birth.json"]), v: 4 } as const)),
    );
    const warden = await world.start(files);
    t.match(await warden.ask("identity.read", {}), { result: { birth: { keyFingerprint: KEY } } }, name);
    // the update's record is of slot b, and slot a runs
    const phase = name === "update" ? "rolled-back" : "committed";
    t.match((await warden.ask("status.read", {})).result, { update: { phase } });
    t.same(await broughtTo(world, warden, "update.begin", { target: "os/none" }), "trust.missing", "releases are taken");
    if (name === "lockdown") {
      const kept = recordIn(files, ["lockdown", "lockdown.json"]);
      const { result } = await warden.ask("status.read", {});
      t.match(result?.["troubles"], [{ code: "record.newer", message: /kept for it/u }]);
      t.match(JSON.stringify((await warden.ask("lockdown.read", {})).result?.["open"]), /out: tcp 8883 to anybody \(hub\)/u);
      addPolicy(world, 3);
      world.repository.publish("policy");
      await broughtTo(world, warden, "trust.refresh", {});
      t.match(await warden.ask("lockdown.propose", {}), { result: { counter: 3 } });
      t.match(recordIn(files, ["lockdown", "lockdown.json"])["confirmed"], kept["confirmed"], "while another one is tried");
      await world.clock.advance(61_000);
      t.match(recordIn(files, ["lockdown", "lockdown.json"]), { v: 2, confirmed: kept["confirmed"], reverted: { counter: 3 } });
    } else t.match(recordIn(files, ["update", `${name}.json`]), { v: 2 });
    await warden.stop();
  }
});

test("[STA-5] [OTA-35] an update record that cannot be read refuses releases until an operator's order discards it", async (t) => {
  const { world, files, owner } = await inMemory(t);
  const unreadable = canonicalJson({ v: 4, readable: 4, stage: "elsewhere" });
  files.update.contents.set("update.json", Buffer.from(unreadable));
  const warden = await world.start(files);
  const { result } = await warden.ask("status.read", {});
  t.match(result, { update: { phase: "failed" }, troubles: [{ code: "record.newer", message: /update\.revert discards it/u }] });
  t.match(await warden.ask("update.begin", { target: "os/any", absent: [] }), { fault: { code: "record.newer" } });
  t.equal(Buffer.from(files.update.contents.get("update.json") ?? []).toString(), unreadable);
  const nonce = String((await warden.ask("order.nonce", { verb: "update.revert" })).result?.["nonce"]);
  const challenge = challengeText({ verb: "update.revert", deviceId: DEVICE, nonce });
  const order = JSON.stringify(orderOfAnswer(parseChallenge(challenge), owner.answer(challenge)));
  t.match(await warden.ask("order.submit", { verb: "update.revert", order }), { result: { by: "ada" } });
  await warden.stop();
  t.notOk(files.update.contents.has("update.json"));
  t.match((await (await world.start(files)).ask("status.read", {})).result, { update: { phase: "idle" } });
});

test("[OTA-27] [OTA-36] floors that cannot be read refuse every release, the status names the remedy, and the record of the manual, written by hand, is one", async (t) => {
  const { world, files } = await inMemory(t);
  files.update.contents.set("floors.json", Buffer.from("damaged"));
  const warden = await world.start(files);
  const { result } = await warden.ask("status.read", {});
  t.match(result?.["troubles"], [
    { code: "floor.invalid", message: /put back on the device, which docs\/operations\.md tells how/u },
  ]);
  t.match(await warden.ask("update.begin", { target: "os/any", absent: [] }), { fault: { code: "floor.invalid" } });
  t.match(await warden.ask("order.nonce", { verb: "update.revert" }), {}, "no order gives them up");
  await warden.stop();
  t.equal(Buffer.from(files.update.contents.get("floors.json") ?? []).toString(), "damaged");
  const [, record = ""] = /printf %s '(\{"lines".*?)'/u.exec(readFileSync("docs/operations.md", "utf8")) ?? [];
  // this device has committed counter 2
  files.update.contents.set("floors.json", Buffer.from(record.replace("7", "2").replace("6", "1")));
  const again = await world.start(files);
  t.same((await again.ask("status.read", {})).result?.["troubles"] ?? [], []);
  t.match(
    await again.ask("update.begin", { target: "os/any", absent: [] }),
    { result: { state: "wanted" } },
    "releases are taken",
  );
  await again.stop();
});

test("[STA-5] [OPS-8] a stored roster that only a newer program reads keeps its counter: no older one takes its place", async (t) => {
  const { world, files } = await inMemory(t);
  const payload = Buffer.from('{"v":2,"people":[]}');
  const digest = createHash("sha256").update(payload).digest("hex");
  const newer = { v: 1, readable: 1, target: "operators/roster-5", counter: 5, digest, payload: payload.toString("base64") };
  files.targets.contents.set("operators.taken", Buffer.from(canonicalJson(newer)));
  const warden = await world.start(files);
  world.repository.addTarget("operators", "operators/roster-4", rosterText(), labCustom({ line: "operators", counter: 4 }));
  world.repository.publish("operators");
  await broughtTo(world, warden, "trust.refresh", {});
  t.match(recordIn(files, ["targets", "operators.taken"]), newer);
  t.match((await warden.ask("status.read", {})).result?.["troubles"], [{ code: "roster.invalid" }]);
  await warden.stop();
});

/** @returns the last event. */
async function setAsideWith(files: DurableFiles): Promise<TunnelEvent | undefined> {
  const events: TunnelEvent[] = [];
  const aside = createSetAside({ files, clock: fakeClock(), onEvent: (event) => events.push(event) });
  await aside.keep({ channel: "event", payload: Buffer.from("{}") }, new Fault("spool.too-large", "the hub never takes it"));
  return events.at(-1);
}

test("[STA-5] agent and hub with their records one version ahead", async (t) => {
  const files = fakeFiles();
  await writeMqtt5Refusal(files, 7);
  const record = Buffer.from(files.contents.get("tunnel.json") ?? []).toString();
  files.contents.set("tunnel.json", Buffer.from(record.replace('"v":1', '"v":2')));
  t.equal(await readMqtt5Refusal(files), 7);
  files.contents.set("tunnel.json", Buffer.from(record.replace('"readable":1,"v":1', '"readable":2,"v":2')));
  t.equal(await readMqtt5Refusal(files), undefined, "MQTT 5 is offered once more");
  await setAsideWith(files);
  const kept = Buffer.from(files.contents.get("tunnel-set-aside.json") ?? []).toString();
  files.contents.set("tunnel-set-aside.json", Buffer.from(kept.replace('"readable":1,"v":1', '"readable":2,"v":2')));
  t.match(await setAsideWith(files), { kind: "memory-fault", fault: { code: "record.newer" } });
  t.match(JSON.parse(Buffer.from(files.contents.get("tunnel-set-aside.json") ?? []).toString()), { v: 2 }, "it is left alone");
  const receipts = createCertificateReceipts(files);
  await receipts.record("a certificate", 9);
  const name = "certificate-receipts.json";
  const receipt = Buffer.from(files.contents.get(name) ?? []).toString();
  files.contents.set(name, Buffer.from(receipt.replace('"v":1', '"v":2')));
  t.equal(await receipts.receivedAtMs("a certificate"), 9);
  files.contents.set(name, Buffer.from(receipt.replace('"readable":1', '"readable":2').replace('"v":1', '"v":2')));
  t.equal(await receipts.receivedAtMs("a certificate"), undefined, "the moment counts as unknown");
  files.contents.set("console.json", Buffer.from('{"delayMs":0,"openAtMs":0,"readable":2,"v":2}'));
  const console = await openConsoleRecord(files, { nowMs: 0, bootId: "boot" }, () => undefined);
  t.ok(console.throttle.delayMs > 0, "the longest delay, since the record may have held one");
  const settings = { v: 1, hosts: ["hub.example"], certificateLifeMs: 86_400_000 } as const;
  const text = formatSettings({ ...settings, hosts: [...settings.hosts] });
  t.match(parseSettings(text.replace('"v":1', '"later":1,"v":2')), settings);
  t.throws(() => parseSettings(text.replace('"readable":1', '"readable":2').replace('"v":1', '"v":2')), { code: "record.newer" });
});
