// Three releases: a good one, one that was changed after it was signed, and a signed one that does
// not work.
import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { SlotName } from "../../hal/format/slots.ts";
import { targetName } from "../../ota/trust/format/index.ts";
import { type UpdateStatus, updateStatusSchema } from "../../warden/update/format.ts";
import { eventually } from "../lab/runner/process.ts";
import type { Added } from "../../build/release/add.ts";
import { updateStatus } from "../lab/worlds/hub-cli-json.ts";
import type { StepReport } from "./narrate.ts";
import { must } from "./proof.ts";
import { IMAGE_BYTES } from "./published.ts";
import type { World } from "./world.ts";

/** The trial of a system that can only fail, in seconds; the others get more. */
const SHORT_TRIAL_S = 6;
const REBOOTED_MS_MAX = 40_000;

export async function goodRelease(world: World, id: string, report: StepReport): Promise<void> {
  const { launcher } = world;
  const before = launcher.boots.length;
  const [added] = world.releases;
  report.evidence("release", `${added.target}: ${IMAGE_BYTES / 1_048_576} MiB of system and a kernel, counter 2`);
  await point(world, id, added, report);
  const trial = await launcher.booted(before + 1, REBOOTED_MS_MAX);
  must(trial.slot === "b" && trial.trial && trial.system.version === "2.0.0", `slot b boots on trial: ${JSON.stringify(trial)}`);
  report.evidence("booted", `slot b on trial, asked for by: ${trial.after ?? "nobody"}`);
  const update = await updateWhen(world, "the commit", ({ phase }) => phase === "committed");
  must(update.version === "2.0.0" && update.running === "b", `release 2 runs from slot b: ${update.version ?? "none"}`);
  const choice = await bootChoice(world);
  must(choice === "b", `the boot choice names slot b for good: ${choice}`);
  must(launcher.boots.length === before + 1, "it took one reboot");
  report.evidence("committed", `healthy (agent greeted, hub heard, lockdown in force); boot choice "${choice}"`);
  report.evidence("at the hub", await reported(world, id, "committed"));
  report.result("written to the idle slot, booted on trial, found healthy and committed, with one reboot");
}

export async function tamperedRelease(world: World, id: string, report: StepReport): Promise<void> {
  const { rig, launcher } = world;
  const boots = launcher.boots.length;
  const slot = await digestOfSlot(world, "a");
  const [, added] = world.releases;
  const path = join(rig.hub.state, "repository/targets", targetName(added.target, added.sha256));
  const manifest = await readFile(path, "utf8");
  const evil = manifest.replace(/"sha256":"[0-9a-f]{64}"/u, `"sha256":"${"0".repeat(64)}"`);
  must(evil !== manifest && evil.length === manifest.length, "the copy at the hub is another one");
  await writeFile(path, evil);
  report.evidence("tampered", `${added.target} at the hub names another index; its length is the same, its hash is not`);
  await point(world, id, added, report);
  const { detail } = await updateWhen(
    world,
    "the refusal",
    ({ phase, release }) => phase === "failed" && release?.target === added.target,
  );
  must(detail?.startsWith("trust.mismatch") === true, `it is refused for its signature: ${detail ?? "no reason"}`);
  report.evidence("refused", detail);
  must((await digestOfSlot(world, "a")) === slot, "no byte of slot a has changed");
  must(launcher.boots.length === boots && (await bootChoice(world)) === "b", "nothing was booted, nothing was chosen");
  report.evidence("slot a", `sha256 ${slot.slice(0, 16)}..., as before; boot choice "b"; no reboot`);
  report.evidence("at the hub", await reported(world, id, "failed"));
  report.held(
    "releases",
    "the changed release is refused before a byte of it reaches a slot",
    "the changed release never reached a slot",
  );
}

export async function unhealthyRelease(world: World, id: string, report: StepReport): Promise<void> {
  const { launcher } = world;
  const before = launcher.boots.length;
  const [, , added] = world.releases;
  await world.setTrialS(SHORT_TRIAL_S); // as the system that is booted next says of itself
  await point(world, id, added, report);
  const trial = await launcher.booted(before + 1, REBOOTED_MS_MAX);
  must(trial.slot === "a" && trial.trial && trial.system.version === "4.0.0", `slot a boots on trial: ${JSON.stringify(trial)}`);
  report.evidence("booted", `slot a on trial; its agent exits at once`);
  const back = await launcher.booted(before + 2, REBOOTED_MS_MAX);
  must(back.slot === "b" && !back.trial && back.system.version === "2.0.0", `slot b boots again: ${JSON.stringify(back)}`);
  report.evidence("left", `by the warden, after ${SHORT_TRIAL_S} s: ${back.after ?? "nobody"}`);
  const update = await updateWhen(world, "the rollback", ({ phase }) => phase === "rolled-back");
  const { reason } = update;
  must(reason?.why === "deadline" && update.running === "b", `it was rolled back for its reason: ${JSON.stringify(reason)}`);
  report.evidence("reason", `${reason.why}: ${reason.detail}`);
  must((await bootChoice(world)) === "b", "the boot choice is as it was");
  report.evidence("at the hub", await reported(world, id, "rolled-back"));
  report.held(
    "releases",
    `the release that does not run is rolled back after ${SHORT_TRIAL_S} s, and the hub knows why`,
    "the broken release was rolled back",
  );
}

async function point({ rig }: World, id: string, { target }: Added, report: StepReport): Promise<void> {
  await rig.hub.command("update", "start", id, target);
  report.evidence("started by", `sallyport-hub update start ${id} ${target}`);
}

/** Asks until the board answers as `wanted`: while it reboots it does not answer. */
async function updateWhen({ rig }: World, what: string, wanted: (update: UpdateStatus) => boolean): Promise<UpdateStatus> {
  return await eventually(what, async () => {
    const update = await rig.ask("update.status", updateStatusSchema);
    return wanted(update) ? update : undefined;
  });
}

/** What the device reported to the hub by itself. */
async function reported({ rig }: World, id: string, phase: UpdateStatus["phase"]): Promise<string> {
  const update = await eventually(`the hub knows "${phase}"`, async () => {
    const update = await updateStatus(rig.hub, id);
    return update?.phase === phase ? update : undefined;
  });
  return `sallyport-hub update status ${id}: ${phase}, release ${update.release?.counter ?? "?"}, running ${update.version ?? "?"} from slot ${update.running ?? "?"}`;
}

async function bootChoice({ rig }: World): Promise<string> {
  return (await readFile(rig.board.slots.bootChoice, "latin1")).trim();
}

async function digestOfSlot({ rig }: World, slot: SlotName): Promise<string> {
  return createHash("sha256")
    .update(await readFile(rig.board.slots[slot]))
    .digest("hex");
}
