// A serial line that brings garbage without end: the tunnel is not affected, and the console works
// again afterwards. [CON-1] [CON-2]
import { randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "tap";
import { needs } from "../lab/runner/needs.ts";
import { approveOn, untilStatus, verifiedTrail } from "../lab/worlds/probes.ts";
import { eventually, HANG_MS } from "../lab/runner/process.ts";
import { startPtyPair } from "../lab/counterparts/pty.ts";
import { AGENT_UID, buildRig } from "../lab/worlds/rig.ts";

const ID = "SPG2-0A1B2C3D";
const RECORDS_OF_A_FLOOD_MAX = 100;
const MEMORY_OF_A_FLOOD_BYTES_MAX = 64 * 1_048_576;

/**
 * A pseudo-terminal holds 4 KiB. With more in one direction, socat waits for the agent, which waits
 * for socat. Small pieces leave room for an agent that does not get the processor for a while.
 */
const PIECE_BYTES = 512;
const PIECE_MS = 20;

const FLOODS: Readonly<Record<string, Buffer>> = {
  "random bytes": randomBytes(24_576),
  "one line without end": Buffer.alloc(24_576, "x"),
  "empty lines": Buffer.alloc(8192, "\r"),
  "commands by the hundred": Buffer.from("status --json\r".repeat(400)),
  "escape sequences": Buffer.from("\u001b[2J\u001b]0;title\u0007\u009b31m\r".repeat(400), "latin1"),
};

test(
  "[CON-1] [CON-2] floods on the serial console disturb neither tunnel nor trail, and the console answers afterwards",
  { skip: needs("bundles", "socat") },
  async (t) => {
    const twoUsers = process.getuid?.() === 0;
    const cable = await startPtyPair(twoUsers ? { deviceUser: AGENT_UID } : {});
    t.teardown(() => cable.stop());
    const rig = await buildRig({ agentConfig: { console: { path: cable.devicePath } } });
    t.teardown(() => rig.stop());
    const hub = await rig.startHub();
    await rig.startWarden();
    const agent = await rig.startAgent();

    const far = await open(cable.hostPath, "r+");
    const seen = { screen: "", bytes: 0 };
    const reading = createReadStream(cable.hostPath, { highWaterMark: 4096 });
    reading.on("data", (chunk) => {
      seen.bytes += chunk.length;
      seen.screen = (seen.screen + chunk.toString("latin1")).slice(-65_536);
    });
    reading.on("error", () => undefined); // EIO: the cable was pulled.
    t.teardown(async () => {
      reading.destroy();
      await far.close();
    });

    const pour = async (bytes: Buffer): Promise<void> => {
      for (let at = 0; at < bytes.byteLength; at += PIECE_BYTES) {
        const screen = seen.bytes;
        await far.write(bytes.subarray(at, at + PIECE_BYTES));
        await sleep(PIECE_MS);
        for (let last = screen; last !== seen.bytes; await sleep(PIECE_MS)) last = seen.bytes;
      }
    };

    // While it boots.
    await pour(randomBytes(16_384));
    await approveOn(rig, hub, ID);
    await agent.line(/life .* -> connected/u);
    const before = await untilStatus(rig, "a status", () => true);

    for (const [what, bytes] of Object.entries(FLOODS)) {
      await pour(bytes);
      t.match(await rig.status(), { life: "connected", tunnel: { state: "connected", connections: 1 } }, what);
    }
    // Nobody reads its answers.
    reading.pause();
    await far.write("help\r".repeat(200));
    const after = await rig.status();
    t.match(after, { life: "connected", tunnel: { connections: 1 }, audit: { dropped: 0 } }, "answers that nobody reads");
    seen.screen = "";
    reading.resume();
    const grown = after.system.agentResidentBytes - before.system.agentResidentBytes;
    t.ok(grown < MEMORY_OF_A_FLOOD_BYTES_MAX, `${Math.round(grown / 1_048_576)} MiB more`);
    t.ok((after.audit?.size ?? 0) - (before.audit?.size ?? 0) < RECORDS_OF_A_FLOOD_MAX, "the flood does not flood the trail");

    await eventually(
      "an answer on the console",
      async () => {
        if (/sallyport-agent\/\S+: CONNECTED/u.test(seen.screen)) return true;
        await far.write("\r\rstatus\r");
        return undefined;
      },
      HANG_MS,
      1500,
    );
    await far.write("status\r".repeat(100));
    t.same(await agent.stop(), { code: 0, signal: null }, "it stops in the middle of a flood");
    await (await rig.startAgent()).line(/life .* -> connected/u);
    await verifiedTrail(rig, ID, ["input.refused", "agent.stopped"]);
  },
);
