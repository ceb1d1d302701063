// First boot with a TPM, and boots without the TPM in which the key was made. [ID-4] [ID-6]
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "tap";
import { needs } from "../lab/runner/needs.ts";
import { approveOn, birthOf, keysAtHub, untilStatus, verifiedTrail } from "../lab/worlds/probes.ts";
import { buildRig } from "../lab/worlds/rig.ts";
import { startSwtpm } from "../lab/counterparts/swtpm.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";

const ID = "SPG2-0A1B2C3D";
/** Shares of the time to the first line. The process replaces itself somewhere in it. */
const MOMENTS = [0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1];

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
    t.match(await birthOf(rig), { protection: "tpm", keyFingerprint: key });
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
    const trail = await verifiedTrail(rig, ID, ["key.unavailable"]);
    t.equal(trail.filter(({ event }) => event === "key.created").length, 1);
    const [owned, created] = ["tpm.owned", "key.created"].map((name) => trail.findIndex(({ event }) => event === name));
    t.ok(owned !== undefined && created !== undefined && owned >= 0 && owned < created, "[ID-50] the warden took the TPM first");
    t.equal((await stat(join(rig.board.wardenState, "tpm.json"))).mode & 0o777, 0o600);
    t.same(await keysAtHub(rig, ID), [key]);
    t.match(await birthOf(rig), { protection: "tpm", keyFingerprint: key });
  },
);
