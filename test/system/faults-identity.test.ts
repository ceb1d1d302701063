// A board that reports another serial number, and a key that is gone: both are reported, and there
// is never a second identity. [ID-6]
import { chown, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { needs } from "../lab/runner/needs.ts";
import { approveOn, birthOf, keysAtHub, untilStatus, verifiedTrail } from "../lab/worlds/probes.ts";
import { AGENT_UID, buildRig } from "../lab/worlds/rig.ts";

const ID = "SPG2-0A1B2C3D";
const OTHER = "SPG2-FFFFFFF1";

test(
  "[ID-6] another serial, a missing key, another key and a broken birth record are reported; id and key stay what they were",
  { skip: needs("bundles") },
  async (t) => {
    const rig = await buildRig();
    t.teardown(() => rig.stop());
    const hub = await rig.startHub();
    let warden = await rig.startWarden();
    let agent = await rig.startAgent();
    const key = await approveOn(rig, hub, ID);
    await agent.line(/life .* -> connected/u);
    const birth = await birthOf(rig);
    t.match(birth, { id: ID, keyFingerprint: key });
    const restart = async (): Promise<void> => {
      t.same(await agent.stop(), { code: 0, signal: null });
      t.same(await warden.stop(), { code: 0, signal: null });
      warden = await rig.startWarden();
      agent = await rig.startAgent();
    };

    const serial = join(rig.board.root, "sys/class/dmi/id/product_serial");
    await writeFile(serial, `${OTHER}\n`);
    await restart();
    await agent.line(/life .* -> connected/u);
    const swapped = await untilStatus(rig, "a status", () => true);
    t.match(swapped, { life: "connected", device: { id: ID }, key: { fingerprint: key } });
    t.match(swapped.troubles.join("\n"), new RegExp(`identity\\.changed: .*"${OTHER}".*"${ID}"`, "u"));
    await writeFile(serial, `${ID}\n`);

    const keyFile = join(rig.board.agentState, "device-key.pem");
    await rename(keyFile, `${keyFile}.away`);
    await restart();
    await agent.line(/trouble: key\.missing: .*it is gone/u);
    const missing = await untilStatus(rig, "the fault", ({ troubles }) =>
      troubles.some((trouble) => trouble.startsWith("key.missing")),
    );
    t.match(missing, { life: "blank", device: { id: ID } });
    t.equal(missing.key, undefined);

    t.same(await agent.stop(), { code: 0, signal: null });
    await writeFile(keyFile, "no key", { mode: 0o600 });
    if (rig.twoUsers) await chown(keyFile, AGENT_UID, AGENT_UID);
    agent = await rig.startAgent();
    const mangled = await untilStatus(rig, "the fault", ({ troubles }) =>
      troubles.some((one) => one.startsWith("key.mismatch: ")),
    );
    t.match(mangled, { life: "blank", device: { id: ID } });
    t.match(mangled.troubles.join("\n"), /key\.mismatch: load the device key "device-key\.pem": it is damaged/u);
    t.same(await agent.stop(), { code: 0, signal: null });
    await rename(`${keyFile}.away`, keyFile);

    const record = join(rig.board.birth, "birth.json");
    const good = await readFile(record);
    await writeFile(record, '{"v":1');
    agent = await rig.startAgent();
    await restart();
    const unreadable = await untilStatus(rig, "the fault", ({ troubles }) =>
      troubles.some((trouble) => trouble.startsWith("birth.unreadable")),
    );
    t.not(unreadable.life, "connected");
    t.equal((await readFile(record)).toString(), '{"v":1', "neither repaired nor replaced");
    await writeFile(record, good);

    await restart();
    await agent.line(/life .* -> connected/u);
    t.same(await birthOf(rig), birth);
    const trail = await verifiedTrail(rig, ID, ["key.unavailable", "tunnel.connected", "tunnel.connected", "tunnel.connected"]);
    const codes = (name: string) => trail.filter(({ event }) => event === name).flatMap(({ detail }) => detail?.["code"] ?? []);
    t.same(codes("identity.read"), ["identity.changed", "birth.unreadable"]);
    t.ok(codes("key.unavailable").includes("key.missing"));
    t.equal(trail.filter(({ event }) => event === "key.created").length, 1);
    t.same(await keysAtHub(rig, ID), [key]);
    t.same(await keysAtHub(rig, OTHER), []);
  },
);
