// A captured agent floods the warden while a policy that nobody confirmed is in force: the warden
// takes it back in the middle of the flood, as seen from the other side of the cable.
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { test, type Test } from "tap";
import { WARDEN_VERBS } from "../../warden/protocol/format.ts";
import { lacksProbeNetwork } from "../lab/counterparts/network-probe.ts";
import { openNotifySocket } from "../lab/counterparts/notify-socket.ts";
import { isLongRun } from "../lab/runner/long-run.ts";
import { needs } from "../lab/runner/needs.ts";
import { eventually, type RunningProgram, startProgram } from "../lab/runner/process.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";
import { filteredWarden } from "../lab/worlds/filtered-warden.ts";
import { verifiedLog } from "../lab/worlds/warden.ts";
import { FLOODS } from "./warden-flood/floods.ts";

const skip = needs("bundles") || lacksProbeNetwork("netns");
const FLOODER = fileURLToPath(new URL("warden-flood/flooder-child.ts", import.meta.url));
/**
 * Bound of the flood, for a revert that hangs. With one event loop for refusals and deadlines, and
 * no switch beside it, the revert came after 287 s instead of 30 s (seen).
 */
const FLOOD_MS_MAX = 150_000;
/**
 * The worst flood of each kind. All of them take minutes, so they are part of `npm run test:long`.
 */
const WORST_FLOODS = ["as many faults as a line holds", "many connections", "every verb at once"];
const chosen = isLongRun() ? Object.keys(FLOODS) : WORST_FLOODS;

/** Worlds at a time: each waits 30 s for a deadline, and its flood takes what the machine gives. */
const AT_ONCE = 8;

test("[OPS-10] every verb has its flood", async (t) => {
  for (const name of WORST_FLOODS) t.ok(Object.hasOwn(FLOODS, name), name);
  for (const verb of Object.keys(WARDEN_VERBS)) t.ok(Object.hasOwn(FLOODS, verb), verb);
});

test(
  "[LCK-15] [OPS-10] [OPS-11] under every flood an unconfirmed policy is out of force before the flood ends",
  { skip },
  async (t) => {
    t.jobs = AT_ONCE;
    for (const name of chosen) void t.test(`[LCK-11] under a flood of: ${name}`, (t) => revertUnder(t, name));
  },
);

async function revertUnder(t: Test, name: string): Promise<void> {
  const world = await filteredWarden(t);
  const { lab, program } = world;
  t.equal(await world.probe(), "silent", "the base policy");
  await world.tryPolicy();
  t.equal(await world.probe(), "open", "the policy on trial");
  const started = performance.now();
  const flooder = startFlooder(t, lab.socket, name);
  await flooder.line(/^flooding$/u);
  await eventually("the revert", async () => ((await world.probe()) === "silent" ? true : undefined), FLOOD_MS_MAX);
  t.comment(`${name}: out of force after ${((performance.now() - started) / 1000).toFixed(1)} s`);
  // it ends by our signal and by nothing else: the flood went on until the revert was seen
  t.same(await flooder.stop("SIGKILL"), { code: null, signal: "SIGKILL" });
  await eventually("the record of the revert", async () => {
    const log = await verifiedLog(lab.client());
    return log.some(({ event, detail }) => event === "lockdown.reverted" && detail?.["reason"] === "deadline") ? true : undefined;
  });
  t.equal(program.lines.filter((line) => line.includes("assert.broken")).length, 0, program.lines.join("\n"));
}

test("[OPS-11] a flooded warden goes on sending its heartbeat", { skip: skip || needs("perl", "systemd-notify") }, async (t) => {
  const socket = join(await temporaryDirectory(t), "notify");
  const systemd = await openNotifySocket(socket);
  t.teardown(() => systemd.stop());
  // four beats in this time, so one each quarter of a second
  const { lab } = await filteredWarden(t, { env: { NOTIFY_SOCKET: socket, WATCHDOG_USEC: "1000000" } });
  const flooder = startFlooder(t, lab.socket, "as many faults as a line holds");
  await flooder.line(/^flooding$/u);
  const before = systemd.count("WATCHDOG=1");
  await eventually("ten heartbeats", async () => (systemd.count("WATCHDOG=1") >= before + 10 ? true : undefined));
  t.same(await flooder.stop("SIGKILL"), { code: null, signal: "SIGKILL" });
});

function startFlooder(t: Test, socket: string, name: string): RunningProgram {
  const flooder = startProgram({ name: "flooder", command: process.execPath, args: [FLOODER, socket, name], endsWithUs: true });
  t.teardown(() => flooder.stop("SIGKILL"));
  return flooder;
}
