// Another key of the same device, which it asks for with both: from a file into the TPM.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "tap";
import { allowRekey, settleSuccessor } from "../../../hub/devices/index.ts";
import { ENROLMENTS_BURST, JOURNAL_DIFFERENT_MAX, PENDING_PER_ID_MAX } from "../../../hub/limits.ts";
import { hubCommand } from "../../lab/worlds/hub-cli.ts";
import {
  certificateIn,
  connect,
  enrolled,
  labDevice,
  type LabDeviceOptions,
  labHub,
  labAuditKey,
  simpleEnrol,
  simpleReenrol,
} from "../../lab/worlds/hub.ts";
import { needs } from "../../lab/runner/needs.ts";
import { eventually } from "../../lab/runner/process.ts";
import type { TestContext } from "../../lab/runner/context.ts";
import { openssl } from "../../lab/counterparts/pki.ts";

async function fileDevice(t: TestContext) {
  const { hub, state } = await labHub(t);
  const old = await labDevice("gw-1", { protection: "file" });
  const cert = await enrolled(hub, old);
  const newKey = (options: LabDeviceOptions = {}) => labDevice("gw-1", { protection: "tpm", audit: old.audit, ...options });
  const asks = (device: Awaited<ReturnType<typeof newKey>>) => simpleReenrol(hub, device.csr, cert, old.keyPem);
  const command = (...argv: readonly string[]) => hubCommand(state, "devices", ...argv);
  const events = async () => (await hub.store.journal.tail(100, "notice")).map(({ event }) => event);
  return { hub, state, old, cert, newKey, asks, command, events };
}

test("[ID-63] without a permission the request waits for devices replace, and both keys serve until the first connection", async (t) => {
  const { hub, old, cert, newKey, asks, command, events } = await fileDevice(t);
  const key = await newKey();
  const waiting = await asks(key);
  t.equal(waiting.status, 202);
  t.match(waiting.body.toString(), `devices replace gw-1 ${key.fingerprint}`);
  t.match(await hub.store.journal.tail(1, "alert"), [
    { event: "device.rekey-requested", deviceId: "gw-1", detail: { fingerprint: key.fingerprint, replacedProtection: "file" } },
  ]);
  t.equal((await asks(key)).status, 202, "again, and no second alert");
  t.equal((await events()).filter((event) => event === "device.rekey-requested").length, 1);
  t.match((await command("list")).out.join("\n"), "by a tpm key; the device has asked with both keys; if that is right, run:");

  const done = await command("replace", key.id, key.fingerprint);
  t.equal(done.code, 0);
  t.match(done.err.join("\n"), `The file key ${old.fingerprint} stays until the first connection with the new key`);
  const first = await connect(t, hub, old, cert);
  t.equal(first.connack, 0, "the old key serves");
  const next = certificateIn(await asks(key));
  t.equal(certificateIn(await asks(key)), next, "[ID-64] its answer was lost: the same again");
  t.equal(certificateIn(await simpleEnrol(hub, key.csr)), next, "also without the old certificate");
  t.match((await command("list")).out.join("\n"), /replaces file key .* at its first connection, until 20/u);

  const closed = new Promise<void>((resolve) => void first.client.once("close", () => resolve()));
  t.equal((await connect(t, hub, key, next)).connack, 0);
  await closed;
  t.match(await hub.store.devices.ofId(old.id), [
    { fingerprint: old.fingerprint, state: "revoked", replacedBy: key.fingerprint },
    { fingerprint: key.fingerprint, state: "approved", overlapUntilMs: undefined },
  ]);
  t.equal((await connect(t, hub, old, cert)).connack, 5);
  t.equal((await asks(key)).status, 401);
  t.ok((await events()).includes("device.replaced"));
});

test("[ID-63] a permission is for one key, as safe as it says, on a device that is otherwise as approved", async (t) => {
  const { hub, old, newKey, asks, command, events } = await fileDevice(t);
  t.match(await command("rekey", "gw-2"), { code: 1, err: [/none of its keys is approved/u] });
  t.match(await command("rekey", "gw-1", "--hold", "10s"), { code: 2 });
  t.match(await command("rekey", "gw-1", "--hold", "31d"), { code: 2 });
  t.match(await command("rekey", "gw-1", "--to", "safe"), { code: 2 });
  t.match(await command("rekey", "gw-1", "--to", "tpm", "--hold", "2h"), {
    code: 0,
    out: [/one other key is permitted until 20.*kept in tpm/u],
  });
  t.match((await command("list")).out.join("\n"), /rekey {4}one other key is permitted until 20.*, tpm at least/u);

  for (const options of [
    { protection: "sealed" },
    { serialNumber: "S-2" },
    { uris: ["urn:dev:mac:02005efffe10ffff"] },
    { audit: labAuditKey("gw-1") },
  ] as const)
    t.equal((await asks(await newKey(options))).status, 202, JSON.stringify(Object.keys(options)));
  t.same(
    (await hub.store.devices.ofId(old.id)).map(({ state }) => state),
    ["approved", "pending"],
    "one waits at a time",
  );
  t.equal((await simpleEnrol(hub, (await newKey()).csr)).status, 202, "a stranger who has only the new key does not spend it");

  const key = await newKey();
  const cert = certificateIn(await asks(key));
  t.match((await events()).slice(-2), ["device.rekeyed", "certificate.issued"]);
  t.equal((await hub.store.devices.approved(old.id))?.rekey, undefined, "spent");
  t.equal((await asks(await newKey())).status, 202, "the next key waits");
  t.equal((await connect(t, hub, key, cert)).connack, 0);
});

test("[ID-63] a permission can be taken back, lapses, and is for nothing weaker than the key in force", async (t) => {
  const { hub, newKey, asks, command } = await fileDevice(t);
  t.equal((await command("rekey", "gw-1")).code, 0);
  t.match(await command("rekey", "gw-1", "--cancel"), { code: 0, out: [/no other key is permitted/u] });
  t.equal((await asks(await newKey())).status, 202);
  const lapsed = await allowRekey({ store: hub.store }, (await newKey()).id, { to: undefined, holdMs: -1 }, "test");
  t.ok(lapsed.rekey);
  t.equal((await asks(await newKey())).status, 202);

  const strong = await labDevice("gw-3", { protection: "tpm" });
  const cert = await enrolled(hub, strong);
  t.match(await command("rekey", "gw-3", "--to", "sealed"), { code: 1, err: [/sealed is weaker than tpm, which is in force/u] });
  t.equal((await command("rekey", "gw-3")).code, 0);
  for (const protection of ["sealed", "file", undefined] as const) {
    const weaker = await labDevice("gw-3", { audit: strong.audit, ...(protection && { protection }) });
    const refused = await simpleReenrol(hub, weaker.csr, cert, strong.keyPem);
    t.equal(refused.status, 403);
    t.match(refused.body.toString(), /^enrol\.mismatch: .*weaker than tpm; enrol it at \/simpleenroll/u);
  }
});

test("[ID-64] a key that does not connect in time lapses, and the one in force stays; it may ask again", async (t) => {
  const { hub, state, old, cert, newKey, asks, command } = await fileDevice(t);
  const key = await newKey();
  await command("rekey", "gw-1");
  const late = certificateIn(await asks(key));
  const database = new DatabaseSync(join(state, "hub.db"));
  t.teardown(() => database.close());
  database.exec("UPDATE devices SET overlapUntil = 1 WHERE overlapUntil IS NOT NULL");
  t.equal((await connect(t, hub, key, late)).connack, 5);
  t.equal((await connect(t, hub, old, cert)).connack, 0);
  t.match((await command("list")).out.join("\n"), /both keys; it has not connected until 1970.*if that is right, run:/u);
  t.equal((await simpleEnrol(hub, key.csr)).status, 202);
  t.match(await asks(key), { status: 202, body: /devices replace gw-1/u });
  await command("rekey", "gw-1");
  certificateIn(await asks(key));
  t.equal((await connect(t, hub, key, late)).connack, 0, "the permission lets it in");
});

test("[ID-64] a device that lost its new key asks for another one, which takes the place of the first", async (t) => {
  const { hub, old, cert, newKey, asks, command } = await fileDevice(t);
  const [lost, key] = [await newKey(), await newKey()];
  await command("rekey", "gw-1");
  const unused = certificateIn(await asks(lost));
  await command("rekey", "gw-1");
  const next = certificateIn(await asks(key));
  t.equal((await connect(t, hub, lost, unused)).connack, 5);
  t.equal((await connect(t, hub, old, cert)).connack, 0);
  t.equal((await connect(t, hub, key, next)).connack, 0);
  t.match(await simpleReenrol(hub, lost.csr, next, key.keyPem), { status: 403 });
});

test("[ID-64] a key beside another one asks for no third, and devices revoke ends both", async (t) => {
  const { hub, old, cert, newKey, asks, command } = await fileDevice(t);
  const [key, third] = [await newKey(), await newKey()];
  await command("rekey", "gw-1");
  const next = certificateIn(await asks(key));
  for (const csr of [third.csr, old.csr])
    t.match(await simpleReenrol(hub, csr, next, key.keyPem), { status: 403, body: /connect with that certificate first/u });
  t.equal((await command("revoke", "gw-1")).code, 0);
  t.equal((await connect(t, hub, key, next)).connack, 5);
  t.equal((await connect(t, hub, old, cert)).connack, 5);
  t.equal(await settleSuccessor({ store: hub.store }, key.id, key.fingerprint), false);
});

test("[ID-64] wherever device or hub stop in between, the device gets in with one of its keys, and ends with the new one", async (t) => {
  const steps = ["permission", "lost answer", "certificate", "lost CONNACK"] as const;
  for (const last of steps) {
    const { hub, state, old, cert, newKey, asks, command } = await fileDevice(t);
    const key = await newKey();
    let stored: string | undefined;
    for (const step of steps.slice(0, steps.indexOf(last) + 1)) {
      if (step === "permission") await command("rekey", "gw-1");
      if (step === "lost answer") await asks(key);
      if (step === "certificate") stored = certificateIn(await asks(key));
      if (step === "lost CONNACK") (await connect(t, hub, key, stored)).client.end(true);
    }
    await hub.stop();
    const { hub: again } = await labHub(t, { state });
    const first = stored === undefined ? await connect(t, again, old, cert) : await connect(t, again, key, stored);
    t.equal(first.connack, 0, last);
    stored ??= certificateIn(await simpleReenrol(again, key.csr, cert, old.keyPem));
    t.equal((await connect(t, again, key, stored)).connack, 0, last);
    t.equal((await connect(t, again, old, cert)).connack, 5, last);
    t.match(await again.store.devices.approved(old.id), { fingerprint: key.fingerprint });
  }
});

test("[ID-63] a flood of strangers displaces no proven request", async (t) => {
  const { hub, newKey, asks } = await fileDevice(t);
  const key = await newKey();
  await asks(key);
  for (let n = 0; n < 2 * PENDING_PER_ID_MAX; n++) await simpleEnrol(hub, (await labDevice("gw-1")).csr);
  const waiting = (await hub.store.devices.ofId(key.id)).filter(({ state }) => state === "pending");
  t.equal(waiting.length, PENDING_PER_ID_MAX + 1);
  t.ok(waiting.some(({ fingerprint }) => fingerprint === key.fingerprint));
});

test("[ID-63] new keys of one device share a pace, and leave one request and few entries of the journal", async (t) => {
  const { hub, old, newKey, asks, events } = await fileDevice(t);
  const statuses: number[] = [];
  for (let n = 0; n < 2 * ENROLMENTS_BURST && !statuses.includes(429); n++) statuses.push((await asks(await newKey())).status);
  t.ok(statuses.includes(429));
  t.equal((await hub.store.devices.ofId(old.id)).length, 2);
  t.ok((await events()).filter((event) => event === "device.rekey-requested").length <= JOURNAL_DIFFERENT_MAX + 5);
});

test("[ID-64] devices replace --now ends the old key before the new one has connected", async (t) => {
  const { hub, old, cert, newKey, asks, command } = await fileDevice(t);
  const key = await newKey();
  await asks(key);
  t.equal((await command("replace", key.id, key.fingerprint)).code, 0);
  t.equal((await command("replace", key.id, key.fingerprint, "--now")).code, 0);
  t.equal((await connect(t, hub, old, cert)).connack, 5);
  t.equal((await connect(t, hub, key, certificateIn(await simpleEnrol(hub, key.csr)))).connack, 0);
});

test("[ID-64] connections with both keys at once leave one key in force, and two permissions at once one", async (t) => {
  const { hub, old, cert, newKey, asks, command } = await fileDevice(t);
  t.same(
    (await Promise.all([command("rekey", "gw-1"), command("rekey", "gw-1", "--to", "tpm")])).map(({ code }) => code),
    [0, 0],
  );
  const [one, two] = [await newKey(), await newKey()];
  const answers = await Promise.all([asks(one), asks(two)]);
  t.same(new Set(answers.map(({ status }) => status)), new Set([200, 202]), "the permission is spent once");
  const [key, issued] = answers[0].status === 200 ? [one, answers[0]] : [two, answers[1]];
  const next = certificateIn(issued);
  await Promise.all([connect(t, hub, key, next), connect(t, hub, key, next), connect(t, hub, old, cert)]);
  const inForce = (await hub.store.devices.ofId(old.id)).filter(({ state }) => state === "approved");
  t.match(inForce, [{ fingerprint: key.fingerprint, overlapUntilMs: undefined }]);
  await eventually("the old key's connection ends", async () => {
    const connection = await hub.store.connections.find(old.id);
    const serial = connection && (await hub.store.certificates.find(connection.serial));
    return serial?.revokedAtMs === undefined || undefined;
  });
});

test(
  "[ID-63] openssl writes a request with both keys' proof: the old certificate in TLS, and the new key under the request",
  { skip: needs("openssl") },
  async (t) => {
    const { hub, state } = await labHub(t);
    const old = await labDevice("gw-9", { serialNumber: "SN-9", uris: [], withoutAuditKey: true });
    const cert = await enrolled(hub, old);
    const directory = t.testdir();
    const file = (name: string): string => join(directory, name);
    writeFileSync(
      file("config"),
      `[req]\ndistinguished_name=dn\nprompt=no\nattributes=more\n[dn]\nCN=gw-9\nserialNumber=SN-9\n[more]\nunstructuredName=sallyport/1 protection=sealed\n`,
    );
    openssl(["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", file("key")]);
    const csr = openssl(["req", "-new", "-config", file("config"), "-key", file("key"), "-outform", "DER"]);
    t.equal((await hubCommand(state, "devices", "rekey", "gw-9", "--to", "sealed")).code, 0);
    const next = certificateIn(await simpleReenrol(hub, csr, cert, old.keyPem));
    const key = { ...old, keyPem: readFileSync(file("key"), "utf8") };
    t.equal((await connect(t, hub, key, next)).connack, 0);
    t.match(await hub.store.devices.approved(old.id), { protection: "sealed" });
  },
);
