// First boot with a TPM, and boots without the TPM in which the key was made. [ID-4] [ID-6]
import { readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "tap";
import type { DeviceStatus } from "../../agent/status/format.ts";
import { isLongRun } from "../lab/runner/long-run.ts";
import { needs } from "../lab/runner/needs.ts";
import { approveOn, birthOf, keysAtHub, untilStatus, verifiedTrail } from "../lab/worlds/probes.ts";
import { buildRig } from "../lab/worlds/rig.ts";
import { startSwtpm } from "../lab/counterparts/swtpm.ts";
import { keepStorageRoot, lockOut, setPassword } from "../lab/counterparts/tpm-troubles.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";

const ID = "SPG2-0A1B2C3D";
/** Shares of the time to the first line. The process replaces itself somewhere in it. */
const MOMENTS = isLongRun() ? [0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1] : [0.5, 0.8];

test(
  "[ID-4] [ID-6] a key that was made in the TPM stays the device's only key when the TPM is away, and works again when it is back",
  { skip: needs("bundles", "swtpm", "tpm2-provider", "openssl") },
  async (t) => {
    const directory = await temporaryDirectory(t);
    let chip = await startSwtpm({ directory });
    t.teardown(() => chip.stop());
    const rig = await buildRig({ tpm: chip.tcti });
    t.teardown(() => rig.stop());
    const hub = await rig.startHub();
    await rig.startWarden();

    const startedAtMs = performance.now();
    const first = await rig.startAgent();
    const startMs = performance.now() - startedAtMs;
    const key = await approveOn(rig, hub, ID);
    await first.line(/life .* -> connected/u);
    const born = await untilStatus(rig, "a status", () => true);
    t.match(born, { life: "connected", key: { protection: "tpm", fingerprint: key }, tunnel: { tls: "TLSv1.3" }, troubles: [] });
    t.match(await birthOf(rig), {
      v: 3,
      protection: "tpm",
      keyFingerprint: key,
      chip: { storage: /^000b/, endorsement: /^000b/ },
    });
    const keysOnDisk = async (): Promise<readonly string[]> => {
      const names = (await readdir(rig.board.agentState, { withFileTypes: true }))
        .filter((entry) => entry.isFile())
        .map(({ name }) => name);
      const texts = await Promise.all(
        names.map(async (name) => [name, await readFile(join(rig.board.agentState, name), "latin1")] as const),
      );
      return texts.filter(([, text]) => /-----BEGIN (?:EC )?PRIVATE KEY-----/u.test(text)).map(([name]) => name);
    };
    t.same(await keysOnDisk(), [], "no private key in any file");
    t.same(await first.stop(), { code: 0, signal: null });

    for (const moment of MOMENTS) {
      const agent = rig.launchAgent();
      await sleep(moment * startMs);
      const silent = agent.lines.length === 0;
      const end = await agent.stop();
      t.ok(
        end.code === 0 || (silent && end.signal === "SIGTERM"),
        `told to stop at ${moment} of the start: ${JSON.stringify(end)} ${agent.lines.join("; ")}`,
      );
    }

    await chip.stop();
    const agent = await rig.startAgent();
    const away = await untilStatus(rig, "the fault in the status", ({ enrolment }) => enrolment?.lastFault !== undefined);
    t.match(away, {
      life: "blank",
      device: { id: ID },
      enrolment: { state: "retrying", lastFault: { code: "key.tpm-missing" } },
    });
    t.equal(away.key, undefined);
    t.same(await keysOnDisk(), [], "no key is made in a file instead");

    chip = await startSwtpm({ directory, port: chip.port });
    await agent.line(/life .* -> connected/u);
    t.match(await rig.status(), { key: { protection: "tpm", fingerprint: key }, troubles: [] });
    const trail = await verifiedTrail(rig, ID, ["key.unavailable", "tpm.owned", "key.created"]);
    t.equal(trail.filter(({ event }) => event === "key.created").length, 1);
    const [owned, created] = ["tpm.owned", "key.created"].map((name) => trail.find(({ event }) => event === name));
    t.ok(owned && created && owned.seq < created.seq, "[ID-50] the warden took the TPM first");
    t.equal((await birthOf(rig))?.chip?.storage, owned?.detail?.["storage"], "[ID-51] the key lies under the warden's root");
    t.equal((await stat(join(rig.board.wardenState, "tpm.json"))).mode & 0o777, 0o600);
    t.same(await keysAtHub(rig, ID), [key]);
    t.match(await birthOf(rig), { protection: "tpm", keyFingerprint: key });
  },
);

test(
  "[ID-45] [ID-48] a parent that its owner moves between key and certificate, and a lockout, do not keep the device from the hub",
  { skip: needs("bundles", "swtpm", "tpm2-provider", "openssl") },
  async (t) => {
    const chip = await startSwtpm();
    t.teardown(() => chip.stop());
    const rig = await buildRig({ tpm: chip.tcti, wardenConfig: { tpm: { tcti: chip.tcti, ownership: "leave" } } });
    t.teardown(() => rig.stop());
    const hub = await rig.startHub();
    await rig.startWarden();
    const agent = await rig.startAgent();
    const { key } = await untilStatus(rig, "the key", ({ key }) => key !== undefined);
    t.match(key, { protection: "tpm" });
    await keepStorageRoot(chip);
    await setPassword(chip, "owner", "theirs");
    await lockOut(chip);
    t.equal(await approveOn(rig, hub, ID), key?.fingerprint);
    await agent.line(/life .* -> connected/u);
    t.match(await rig.status(), { key: { protection: "tpm" }, tunnel: { state: "connected" } });
  },
);

test(
  "[ID-46] [ID-47] a chip whose owner hierarchy has a password seals the key, which connects; another chip's board makes nothing new",
  { skip: needs("bundles", "swtpm", "tpm2-provider", "openssl") },
  async (t) => {
    const [directory, other] = [await temporaryDirectory(t), await temporaryDirectory(t)];
    let chip = await startSwtpm({ directory });
    t.teardown(() => chip.stop());
    await setPassword(chip, "owner", "theirs");
    const rig = await buildRig({ tpm: chip.tcti, wardenConfig: { tpm: { tcti: chip.tcti, ownership: "leave" } } });
    t.teardown(() => rig.stop());
    const hub = await rig.startHub();
    await rig.startWarden();
    let agent = await rig.startAgent();
    const key = await approveOn(rig, hub, ID);
    await agent.line(/life .* -> connected/u);
    t.match(await rig.status(), {
      key: { protection: "sealed", fingerprint: key, note: /not inside it: the owner hierarchy has a password, which/ },
      troubles: [],
    });
    t.match(await birthOf(rig), { protection: "sealed", keyFingerprint: key, chip: { storage: /^000b/ } });
    const files = await readdir(rig.board.agentState);
    t.notOk(files.includes("openssl.cnf"), "TLS needs no provider, so the program did not restart");
    await agent.stop();

    await chip.cut();
    chip = await startSwtpm({ directory: other, port: chip.port });
    const file = join(rig.board.agentState, "device-key.sealed.pem");
    const isRefused = ({ enrolment, troubles }: DeviceStatus): boolean =>
      [enrolment?.lastFault?.code ?? "", ...troubles].some((text) => text.startsWith("key.not-this-board"));
    for (const isMoved of [false, true]) {
      if (isMoved) await rename(file, `${file}.away`);
      agent = await rig.startAgent();
      const refused = await untilStatus(rig, "another board in the status", isRefused);
      t.match(refused, { device: { id: ID }, key: undefined }, isMoved ? "without the key's file" : "with it");
      await agent.stop();
    }
    const names = await readdir(rig.board.agentState);
    t.same(
      names.filter((name) => name.startsWith("device-key")),
      ["device-key.sealed.pem.away"],
      "nothing was made",
    );

    await rename(`${file}.away`, file);
    await rm(join(rig.board.agentState, "openssl.cnf"), { force: true });
    await chip.stop();
    agent = await rig.startAgent();
    const away = await untilStatus(rig, "the fault in the status", ({ enrolment }) => enrolment?.lastFault !== undefined);
    t.match(away, { key: undefined, enrolment: { state: "retrying", lastFault: { code: "key.tpm-missing" } } });
    t.notOk((await readdir(rig.board.agentState)).includes("openssl.cnf"), "nor when the chip is away");
    chip = await startSwtpm({ directory, port: chip.port });
    await agent.line(/life .* -> connected/u);
    t.match(await rig.status(), { key: { protection: "sealed", fingerprint: key }, troubles: [] });
    t.same(await keysAtHub(rig, ID), [key]);
  },
);
