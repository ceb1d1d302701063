// A release that is written while the machine cannot be rebooted, and a warden that is killed
// several times meanwhile.
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { OPERATIONS } from "../../agent/operations/format.ts";
import type { AuditRecord } from "../../warden/audit/format/index.ts";
import { updateStatusSchema, type UpdateStatus } from "../../warden/update/format.ts";
import { connectedBoard, type ConnectedBoard } from "../lab/worlds/connected-board.ts";
import { needs } from "../lab/runner/needs.ts";
import { eventually } from "../lab/runner/process.ts";

/** One more than the boots of a trial: each start of the warden examines what was left. */
const RESTARTS = 4;

async function recordsOf({ rig }: ConnectedBoard, event: AuditRecord["event"]): Promise<readonly AuditRecord[]> {
  const { records } = await rig.ask("audit.tail", OPERATIONS["audit.tail"].result, { count: 100 });
  return records.filter((record) => record.event === event);
}

async function updateWhen({ rig }: ConnectedBoard, phase: UpdateStatus["phase"]): Promise<UpdateStatus> {
  return await eventually(`the update is ${phase}`, async () => {
    const update = await rig.ask("update.status", updateStatusSchema);
    return update.phase === phase ? update : undefined;
  });
}

/**
 * Kills the running warden, whose pid is in the trail, and waits until another one has asked for
 * the reboot in vain.
 */
async function restartWarden(machine: ConnectedBoard): Promise<void> {
  const failures = (await recordsOf(machine, "system.rebooting")).filter(({ result }) => result === "failed").length;
  const pid = (await recordsOf(machine, "warden.started")).at(-1)?.detail?.["pid"];
  if (typeof pid === "number") process.kill(pid, "SIGKILL");
  await eventually("another start", async () => {
    const reboots = await recordsOf(machine, "system.rebooting");
    return reboots.filter(({ result }) => result === "failed").length > failures ? true : undefined;
  });
}

test(
  "[OTA-61] a machine that cannot be rebooted blames no release: it reports that, and the release is tried and committed once it can",
  { skip: needs("bundles") },
  async (t) => {
    const machine = await connectedBoard(t);
    const { rig, launcher, id } = machine;
    const { target } = await rig.release.image({ version: "2.0.0", counter: 2, bytes: 1_048_576 });
    await machine.publish();
    const run = join(rig.board.root, "run");
    await rename(run, `${run}.away`);
    await writeFile(run, "no directory"); // The place of requests for a reboot.
    await rig.hub.command("update", "start", id, target);
    const failed = await machine.recorded(
      "the reboot failed",
      ({ event, result }) => event === "system.rebooting" && result === "failed",
    );
    t.match(failed.detail, { code: "power.failed" });
    for (let restart = 0; restart < RESTARTS; restart += 1) await restartWarden(machine);
    t.match(await updateWhen(machine, "trying"), { running: "a", release: { target } });
    t.same(await recordsOf(machine, "update.rolled-back"), []);
    t.equal(launcher.boots.length, 1);

    await rm(run);
    await mkdir(run);
    const pid = (await recordsOf(machine, "warden.started")).at(-1)?.detail?.["pid"];
    if (typeof pid === "number") process.kill(pid, "SIGKILL");
    t.match(await launcher.booted(2), { slot: "b", trial: true, system: { version: "2.0.0" } });
    t.match(await updateWhen(machine, "committed"), { running: "b", release: { target } });
  },
);
