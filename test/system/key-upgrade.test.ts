// A device that was born with its key in a file beside a TPM: an operator orders a key in the TPM,
// and the device keeps its id. Real hub, swtpm, warden and agent.
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { connect } from "node:tls";
import { setTimeout as sleep } from "node:timers/promises";
import { test, type Test } from "tap";
import { startSwtpm } from "../lab/counterparts/swtpm.ts";
import { type KeyHolder, makeKeyHolder, rosterOf } from "../lab/counterparts/operator-keys.ts";
import { isLongRun } from "../lab/runner/long-run.ts";
import { needs } from "../lab/runner/needs.ts";
import type { RunningProgram } from "../lab/runner/process.ts";
import { hubDevices } from "../lab/worlds/hub-cli-json.ts";
import { connectPacket } from "../lab/worlds/mqtt-bytes.ts";
import { approveOn, untilStatus, verifiedTrail } from "../lab/worlds/probes.ts";
import { buildRig, type Rig } from "../lab/worlds/rig.ts";

const ID = "SPG2-0A1B2C3D";

interface Born {
  readonly rig: Rig;
  readonly owner: KeyHolder;
  readonly warden: RunningProgram;
  readonly agent: RunningProgram;
  /** The fingerprint of the key in the file. */
  readonly fingerprint: string;
  readonly certificate: string;
  readonly key: string;
}

/** A device with a TPM whose key is in a file, as its configuration says. */
async function bornWithFile(t: Test, tcti: string): Promise<Born> {
  const rig = await buildRig({ tpm: tcti, agentConfig: { key: { protection: "file" } } });
  t.teardown(() => rig.stop());
  const hub = await rig.startHub();
  const warden = await rig.startWarden();
  const owner = await makeKeyHolder(rig.directory, "ada");
  await rig.release.target("operators/roster.json", rosterOf({ holder: owner, roles: ["owner"] }));
  await rig.release.sign();
  await rig.hub.command("release", "publish", rig.release.directory);
  const agent = await rig.startAgent();
  const fingerprint = await approveOn(rig, hub, ID);
  await agent.line(/life .* -> connected/u);
  await verifiedTrail(rig, ID, ["roster.accepted"]);
  const [certificate, key] = await Promise.all(
    ["certificate.pem", "device-key.pem"].map((name) => readFile(join(rig.board.agentState, name), "utf8")),
  );
  return { rig, owner, warden, agent, fingerprint, certificate: certificate ?? "", key: key ?? "" };
}

async function keyFiles({ board }: Rig): Promise<readonly string[]> {
  return (await readdir(board.agentState)).filter((name) => name.startsWith("device-key")).sort();
}

/** @returns the return code of the hub's broker for a client with this certificate. */
async function connackOf(rig: Rig, cert: string, key: string): Promise<number | undefined> {
  const { authority: ca, host: servername } = await rig.hub.anchors();
  const socket = connect({ host: "127.0.0.1", port: rig.hub.ports.mqtt, ca, cert, key, servername });
  try {
    socket.write(connectPacket(ID));
    for await (const bytes of socket) return Buffer.from(bytes).at(3);
    return undefined;
  } finally {
    socket.destroy();
  }
}

/** @param killedAfterMs of warden and agent, after the answer to the order. */
async function upgrade(t: Test, killedAfterMs: number | undefined): Promise<void> {
  const chip = await startSwtpm();
  t.teardown(chip.stop);
  const { rig, owner, warden, agent, fingerprint: old, certificate, key } = await bornWithFile(t, chip.tcti);
  const loud = await untilStatus(rig, "the TPM beside the file", (status) => status.key?.upgrade !== undefined);
  t.match(loud, { key: { protection: "file", fingerprint: old, upgrade: { to: "tpm", state: "possible" } } });
  t.match(loud.troubles.join("\n"), /key\.file-beside-tpm: .*order key\.upgrade/u);
  t.match(rig.command("status").stdout, /upgrade \(tpm\): POSSIBLE/u, "and on the screen");

  await rig.hub.command("devices", "rekey", ID, "--to", "tpm");
  await rig.hub.command("order", ID, "key.upgrade", "--key", owner.keyFile, "--yes", "--wait", "60s");
  if (killedAfterMs !== undefined) {
    await sleep(killedAfterMs);
    await Promise.all([agent.stop("SIGKILL"), warden.stop("SIGKILL")]);
    await rig.startWarden();
    await rig.startAgent();
  }
  const done = await untilStatus(
    rig,
    "a connection with a key in the TPM",
    ({ life, key: used }) => life === "connected" && used?.protection === "tpm",
  );
  t.match(done, { device: { id: ID }, key: { upgrade: undefined } });
  t.notMatch(done.troubles.join("\n"), /key\./u);
  t.same(await keyFiles(rig), ["device-key.tss2.pem"], "the old key is gone");
  const devices = new Map((await hubDevices(rig.hub)).map((device) => [device.fingerprint, device.state]));
  t.same([devices.get(done.key?.fingerprint ?? ""), devices.get(old)], ["approved", "revoked"]);
  t.equal(await connackOf(rig, certificate, key), 5, "whoever has a copy of the old key and its certificate is refused");
  const trail = await verifiedTrail(rig, ID, ["key.file-beside-tpm", "key.upgrade-ordered", "birth.replaced", "key.replaced"]);
  t.equal(trail.filter(({ event }) => event === "birth.recorded").length, 1, "no second identity");
  t.match(
    trail.filter(({ event }) => event === "birth.replaced"),
    [{ source: "warden", detail: { id: ID, previous: old, protection: "tpm", keyFingerprint: done.key?.fingerprint ?? "" } }],
  );
}

for (const killedAfterMs of isLongRun() ? [undefined, 0, 200, 500, 1000, 2000, 4000] : [0])
  test(
    `[ID-65] [ID-67] [ID-68] [ID-69] a file key beside a TPM is loud, and an order puts a key in the TPM in its place, under the same id${killedAfterMs === undefined ? "" : `, with both programs killed ${killedAfterMs} ms after it`}`,
    { skip: needs("bundles", "swtpm", "tpm2-provider", "openssl") },
    (t) => upgrade(t, killedAfterMs),
  );
