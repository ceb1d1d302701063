// A TPM that was busy or away for the moment in which OpenSSL looks for its provider. [ID-48]
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { startSwtpm } from "../lab/counterparts/swtpm.ts";
import { needs } from "../lab/runner/needs.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";
import { approveOn } from "../lab/worlds/probes.ts";
import { buildRig } from "../lab/worlds/rig.ts";

const ID = "SPG2-0A1B2C3D";

/** The command of a process and its environment, as env(1) takes them. */
async function commandOf(pid: number): Promise<readonly string[]> {
  const [variables, words] = await Promise.all(
    ["environ", "cmdline"].map(async (name) => (await readFile(`/proc/${pid}/${name}`, "utf8")).split("\0").slice(0, -1)),
  );
  return ["/usr/bin/env", ...(variables ?? []), ...(words ?? [])];
}

test(
  "[ID-48] an agent whose OpenSSL did not load the provider at its start, though the TPM answers now, starts again by itself",
  { skip: needs("bundles", "swtpm", "tpm2-provider", "openssl") },
  async (t) => {
    const chip = await startSwtpm({ directory: await temporaryDirectory(t) });
    t.teardown(() => chip.stop());
    const rig = await buildRig({ tpm: chip.tcti });
    t.teardown(() => rig.stop());
    const hub = await rig.startHub();
    await rig.startWarden();
    const first = await rig.startAgent();
    const key = await approveOn(rig, hub, ID);
    await first.line(/life .* -> connected/u);
    const command = await commandOf(first.pid);
    t.ok(command.some((word) => word.startsWith("OPENSSL_CONF=")));
    await first.stop();

    // As when the TPM was away for that one moment: OpenSSL finds nothing to load.
    await rm(join(rig.board.agentState, "openssl.cnf"));
    const agent = rig.launchAgent(command);
    await agent.line(/did not load the provider/u);
    await agent.line(/life .* -> connected/u);
    t.match(await rig.status(), { key: { protection: "tpm", fingerprint: key }, tunnel: { state: "connected" } });
  },
);
