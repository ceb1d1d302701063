// Releases on their whole way: cut and signed at a desk, pointed at by a hub, brought by the agent, judged and written by the warden's side, booted by a launcher.
import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import type { SlotName } from "../../hal/slots/format.ts";
import { targetName } from "../../ota/trust/format/index.ts";
import { updateStatusSchema, type UpdateStatus } from "../../warden/protocol/format.ts";
import { connectedMachine, type Machine } from "../lab/machine.ts";
import { needs } from "../lab/needs.ts";
import { eventually } from "../lab/process.ts";
import { systemKernel, systemRoot } from "../lab/system-image.ts";

const BYTES = 1_048_576;
const skip = needs("bundles");

function digestOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

async function slotDigest({ rig }: Machine, slot: SlotName): Promise<string> {
  return digestOf(await readFile(rig.board.slots[slot]));
}

async function updateWhen({ rig }: Machine, ...phases: readonly UpdateStatus["phase"][]): Promise<UpdateStatus> {
  return await eventually(`the update is ${phases.join(" or ")}`, async () => {
    const update = await rig.ask("update.status", updateStatusSchema);
    return phases.includes(update.phase) ? update : undefined;
  });
}

test(
  "[OTA-34] [OTA-35] [OTA-41] [OTA-42] [OTA-43] the hub points at a release: it is written, booted, healthy, committed; one below the floor is refused, a tampered one too",
  { skip },
  async (t) => {
    const machine = await connectedMachine(t);
    const { rig, launcher, id, told } = machine;
    const good = { version: "2.0.0", counter: 2, bytes: BYTES };
    await rig.release.image(good);
    await rig.release.image({ version: "1.0.1", counter: 1, bytes: BYTES });
    const tampered = await rig.release.image({ version: "3.0.0", counter: 3, bytes: BYTES });
    await machine.publish();
    await rig.hubCommand("update", "start", id, "os/gateway-2.0.0.json");
    t.match(await launcher.booted(2), { slot: "b", trial: true, system: { version: "2.0.0" } });
    t.match(await updateWhen(machine, "committed"), { running: "b", version: "2.0.0", release: { counter: 2 } });
    t.equal(await readFile(rig.board.slots.bootChoice, "latin1"), "b\n");
    t.equal(await slotDigest(machine, "b"), digestOf(systemRoot(good)), "byte for byte what was signed");
    t.equal(
      digestOf(await readFile(join(rig.board.root, "slots/b.kernel"))),
      digestOf(systemKernel(good)),
      "and the kernel beside it",
    );

    const before = await slotDigest(machine, "a");
    await rig.hubCommand("update", "start", id, "os/gateway-1.0.1.json");
    await told(
      "the older one is refused",
      ({ event, detail }) => event === "update.refused" && detail?.["target"] === "os/gateway-1.0.1.json",
    );
    const manifest = join(rig.hubState, "repository/targets", targetName(tampered.target, tampered.sha256));
    await writeFile(manifest, (await readFile(manifest, "utf8")).replace(/"sha256":"[0-9a-f]{8}/u, '"sha256":"00000000'));
    await rig.hubCommand("update", "start", id, tampered.target);
    await told(
      "the tampered one is refused",
      ({ event, detail }) => /^update\.(refused|failed)$/.test(event) && detail?.["target"] === tampered.target,
    );
    t.equal(await slotDigest(machine, "a"), before, "not one byte of the slot was touched");
    t.equal(launcher.boots.length, 2);
  },
);

test(
  "[OTA-34] [OTA-35] a release whose programs do not run is left: by the timer outside where nothing of it works, by the warden where it does, and is not taken again",
  { skip },
  async (t) => {
    const machine = await connectedMachine(
      t,
      { wardenConfig: { update: { trialS: 3 } } },
      { timerS: ({ warden }) => (warden === "broken" ? 1 : 60) },
    );
    const { rig, launcher, id, told } = machine;
    const dead = await rig.release.image({ version: "2.0.0", counter: 2, bytes: BYTES, agent: "broken", warden: "broken" });
    const ill = await rig.release.image({ version: "3.0.0", counter: 3, bytes: BYTES, agent: "broken" });
    await machine.publish();
    await rig.hubCommand("update", "start", id, dead.target);
    t.match(await launcher.booted(2), { slot: "b", trial: true });
    t.match(await launcher.booted(3), { slot: "a", trial: false, after: /timer/ }, "nothing of ours ran in between");
    t.match(await updateWhen(machine, "rolled-back"), { running: "a", reason: { why: "not-booted" } });

    await rig.hubCommand("update", "start", id, ill.target);
    t.match(await launcher.booted(4), { slot: "b", trial: true, system: { version: "3.0.0" } });
    t.match(await launcher.booted(5), { slot: "a", after: /deadline/ });
    const { reason } = await updateWhen(machine, "rolled-back");
    t.match(reason, { why: "deadline", detail: /agent/ });

    await rig.hubCommand("update", "start", id, ill.target);
    const refused = await told(
      "it is not taken again without an order",
      ({ event, detail }) => event === "update.refused" && detail?.["target"] === ill.target,
    );
    t.match(refused.detail?.["reason"], /rolled back before/);
    t.equal(launcher.boots.length, 5);
  },
);
