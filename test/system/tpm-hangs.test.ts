// A TPM that takes commands and never answers: the agent starts, says so, and connects once the TPM
// answers again. [ID-47] [ID-48]
import { createServer } from "node:net";
import { test } from "tap";
import { startSwtpm } from "../lab/counterparts/swtpm.ts";
import { needs } from "../lab/runner/needs.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";
import { approveOn, birthOf, untilStatus } from "../lab/worlds/probes.ts";
import { buildRig } from "../lab/worlds/rig.ts";

const ID = "SPG2-0A1B2C3D";

/** Accepts and stays silent. @returns what ends it, with its connections. */
async function silentAt(port: number): Promise<() => Promise<void>> {
  const server = createServer((socket) => socket.on("error", () => undefined).resume());
  const connections = new Set<{ destroy(): unknown }>();
  server.on("connection", (socket) => connections.add(socket));
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(port, "127.0.0.1", resolve));
  return async () => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of connections) socket.destroy();
    await closed;
  };
}

test(
  "[ID-47] [ID-48] an agent whose TPM hangs starts without OpenSSL's provider, which would wait for it, and says what is wrong",
  { skip: needs("bundles", "swtpm", "tpm2-provider", "openssl") },
  async (t) => {
    const directory = await temporaryDirectory(t);
    let chip = await startSwtpm({ directory });
    t.teardown(() => chip.stop());
    const rig = await buildRig({ tpm: chip.tcti });
    t.teardown(() => rig.stop());
    const hub = await rig.startHub();
    await rig.startWarden();
    const first = await rig.startAgent();
    const key = await approveOn(rig, hub, ID);
    await first.line(/life .* -> connected/u);
    await first.stop();

    await chip.stop();
    // The control channel, which tss2 asks for, is at the next port.
    const ends = [await silentAt(chip.port), await silentAt(chip.port + 1)];
    const agent = await rig.startAgent();
    const hung = await untilStatus(rig, "the fault in the status", ({ enrolment }) => enrolment?.lastFault !== undefined);
    t.match(hung, {
      life: "blank",
      device: { id: ID },
      enrolment: { state: "retrying", lastFault: { code: "key.tpm-unavailable" } },
    });
    t.equal(hung.key, undefined);

    await Promise.all(ends.map((end) => end()));
    chip = await startSwtpm({ directory, port: chip.port });
    await agent.line(/life .* -> connected/u);
    t.match(await rig.status(), { key: { protection: "tpm", fingerprint: key }, tunnel: { state: "connected" } });
    t.match(await birthOf(rig), { protection: "tpm", keyFingerprint: key });
  },
);
