// The identity that the running program settles: boards without a name, with replaced parts, with a
// broken record.
import { readFileSync } from "node:fs";
import { truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { decodeVerifier, verifierFingerprint } from "../../warden/audit/format/index.ts";
import { faultOf } from "../lab/runner/faults.ts";
import { labWarden, outcomeOf, verifiedLog } from "../lab/worlds/warden.ts";

const BORN = { protection: "file", keyFingerprint: `sha256:${"ab".repeat(32)}` } as const;

test("[ID-3] on a board with no serial and no MAC of its own the warden reports it, makes no identity and ends with code 1", async (t) => {
  const lab = await labWarden(t, { serial: "Default string", mac: "02:00:00:00:00:10" });
  t.match(await outcomeOf(lab.launch()), { code: 1, text: /identity\.no-source.*commission the device/u });
});

test("[ID-6] after a network card was replaced the device keeps the id of its birth record and reports it in status and trail", async (t) => {
  const lab = await labWarden(t, { serial: "None" });
  const first = await lab.start();
  const client = lab.client();
  t.match(await client.call("birth.record", BORN), { id: "001b210a0010", source: "mac" });
  await first.stop();
  const replace = (bus: string, name: string, mac: string) =>
    writeFile(join(lab.board.root, `sys/devices/pci0000:00/0000:00:${bus}.0/net/${name}/address`), `${mac}\n`);
  await replace("01", "eth0", "00:1b:21:ff:ff:01");
  const second = await lab.start();
  t.match(await client.call("identity.read", {}), {
    identity: { id: "001b210a0010", macs: ["00:1b:21:ff:ff:01", /^00:1b:21/u] },
  });
  t.match(await client.call("status.read", {}), { troubles: [{ code: "identity.changed" }] });
  t.match(
    (await verifiedLog(client)).findLast(({ event }) => event === "identity.read"),
    { result: "failed", detail: { code: "identity.changed" } },
  );
  await second.stop();
  await replace("02", "eth1", "00:1b:21:ff:ff:02");
  await lab.start();
  t.match(await client.call("identity.read", {}), { identity: { id: "001b210a0010" } });
  t.match(
    (await verifiedLog(client)).findLast(({ event }) => event === "identity.read"),
    { result: "failed", detail: { code: "identity.other-board" } },
    "[ID-96] without a serial, and with no card of before, it is another board",
  );
});

test("[ID-6] a birth record that cannot be read is neither replaced nor ignored, and everything else is served", async (t) => {
  const lab = await labWarden(t);
  const broken = join(lab.board.birth, "birth.json");
  await writeFile(broken, '{"v":1}', { mode: 0o600 });
  await lab.start();
  const client = lab.client();
  t.match(await client.call("status.read", {}), { troubles: [{ code: "birth.unreadable" }] });
  t.equal((await faultOf(() => client.call("identity.read", {}))).code, "birth.unreadable");
  t.equal((await faultOf(() => client.call("birth.record", BORN))).code, "birth.unreadable");
  t.equal(readFileSync(broken, "utf8"), '{"v":1}');
});

test("[ID-20] an empty birth record that was never complete is written again; one that was complete is damaged, and no birth is recorded", async (t) => {
  const lab = await labWarden(t);
  const record = join(lab.board.birth, "birth.json");
  await writeFile(record, "", { mode: 0o600 });
  const first = await lab.start();
  const client = lab.client();
  const { troubles } = await client.call("status.read", {});
  t.notOk(troubles?.some(({ code }) => code === "birth.unreadable"));
  t.match(await client.call("birth.record", BORN), { id: "GW-4711" });
  t.match(JSON.parse(readFileSync(record, "utf8")), BORN);
  await first.stop();
  await truncate(record);
  await lab.start();
  t.match(await client.call("status.read", {}), { troubles: [{ code: "birth.unreadable" }] });
  t.equal((await faultOf(() => client.call("identity.read", {}))).code, "birth.unreadable");
  const other = { protection: "file", keyFingerprint: `sha256:${"cd".repeat(32)}` } as const;
  t.equal((await faultOf(() => client.call("birth.record", other))).code, "birth.unreadable");
  t.equal(readFileSync(record, "utf8"), "", "the file is unchanged");
});

test("[ID-26] the warden's own line at its start has the fingerprint of the audit key in its certificate request", async (t) => {
  const lab = await labWarden(t);
  const warden = lab.launch();
  const line = await warden.line(/audit key of/u);
  await warden.line(/listening on/u);
  const client = lab.client();
  const { auditKey, identity } = await client.call("identity.read", {});
  const fingerprint = verifierFingerprint(decodeVerifier(auditKey));
  t.ok(line.endsWith(`audit key of "${identity.id}": ${fingerprint}`), line);
  t.match(await client.call("status.read", {}), { auditKey: fingerprint });
  await warden.stop();
});
