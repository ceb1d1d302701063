// A TPM that comes late, hangs or is not there, and what the warden does meanwhile.
import { execFileSync } from "node:child_process";
import { constants } from "node:fs";
import { mkdir, open, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Test, test } from "tap";
import { linuxTpmChip } from "../../../hal/linux/chip/index.ts";
import type { TpmChip } from "../../../hal/ports.ts";
import { SETTLE_MS, STOP_MS } from "../../../warden/tpm/limits.ts";
import { needs } from "../../lab/runner/needs.ts";
import { eventually } from "../../lab/runner/process.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";
import { ownedChip } from "../../lab/worlds/owned-chip.ts";
import { filesInMemory, wholeWarden } from "../../lab/worlds/whole-warden.ts";

const skip = needs("swtpm");

test("[ID-52] a chip whose device comes late is waited for where the firmware tells of it", { skip }, async (t) => {
  const world = await ownedChip(t);
  const asked: string[] = [];
  const chip = (real: TpmChip): TpmChip => ({
    ...real,
    presence: async () => {
      asked.push("presence");
      return asked.length < 3 ? "expected" : "present";
    },
  });
  const opening = world.start({ chip });
  await world.clock.advance(2000);
  await world.clock.advance(4000);
  const owned = await opening;
  t.match(owned.state(), { present: true, ownership: "ours" });
  t.equal(asked.length, 3);
});

test(
  "[ID-52] a board without a chip is not waited for, and a chip that comes later is taken in the background",
  { skip },
  async (t) => {
    const world = await ownedChip(t);
    const there = { is: false };
    const chip = (real: TpmChip): TpmChip => ({ ...real, presence: async () => (there.is ? "present" : "absent") });
    const owned = await world.start({ chip });
    t.match(owned.state(), { present: false, ownership: "unknown" });
    t.same(owned.troubles(), []);
    there.is = true;
    await world.clock.advance(2000);
    await eventually("the chip is taken", async () => owned.state().ownership === "ours" || undefined);
  },
);

test("[ID-52] a chip that hangs holds nobody up: it is waited for 20 s, and settled when it answers", { skip }, async (t) => {
  const world = await ownedChip(t);
  process.kill(world.swtpm().processId, "SIGSTOP");
  t.teardown(() => process.kill(world.swtpm().processId, "SIGCONT"));
  const opening = world.start();
  await world.clock.advance(SETTLE_MS);
  const owned = await opening;
  t.match(owned.state(), { ownership: "unknown" });
  process.kill(world.swtpm().processId, "SIGCONT");
  await eventually("the chip is taken", async () => owned.state().ownership === "ours" || undefined);
});

/** A device whose write never ends, until it is drained: a FIFO that is full. */
async function hungDevice(t: Test): Promise<{ readonly path: string; readonly drain: () => Promise<void> }> {
  const path = join(await temporaryDirectory(t), "tpmrm0");
  execFileSync("mkfifo", [path]);
  const filler = await open(path, constants.O_RDWR | constants.O_NONBLOCK);
  t.teardown(() => filler.close());
  const part = new Uint8Array(4096);
  for (let isFull = false; !isFull;)
    isFull = await filler.write(part).then(
      () => false,
      () => true,
    );
  return { path, drain: async () => void (await filler.read(new Uint8Array(65_536))) };
}

test("[ID-52] a device that hangs takes one thread of the pool, however often it is asked", async (t) => {
  const { path, drain } = await hungDevice(t);
  const chip = linuxTpmChip({ tcti: `device:${path}`, timeoutMs: 50 });
  await t.rejects(chip.pulse(), { code: "tpm.timeout", message: /did not answer/u });
  for (let n = 0; n < 8; n++) await t.rejects(chip.pulse(), { code: "tpm.timeout", message: /still owes an answer/u });
  const file = join(await temporaryDirectory(t), "file");
  await writeFile(file, "written beside it");
  t.equal(await readFile(file, "utf8"), "written beside it");
  await drain();
  await eventually("the device is asked again", async () => {
    const fault = await chip.pulse().catch((error: unknown) => error);
    return (fault instanceof Error && !fault.message.includes("still owes")) || undefined;
  });
});

test("[ID-52] a chip that the firmware tells of is expected until its device is there", async (t) => {
  const root = await temporaryDirectory(t);
  const device = join(root, "tpmrm0");
  const chip = linuxTpmChip({ tcti: `device:${device}`, root });
  t.equal(await chip.presence(), "absent");
  await mkdir(join(root, "sys/firmware/acpi/tables"), { recursive: true });
  await writeFile(join(root, "sys/firmware/acpi/tables/TPM2"), "");
  t.equal(await chip.presence(), "expected");
  await writeFile(device, "");
  t.equal(await chip.presence(), "present");
});

test("[ID-52] the lockdown is in force, and its deadlines run, beside a chip that never answers", async (t) => {
  const world = wholeWarden(t);
  const never = async (): Promise<never> => new Promise(() => undefined);
  const { promise: asked, resolve } = Promise.withResolvers<void>();
  world.tpm = {
    ...linuxTpmChip({ tcti: "device:/nonexistent" }),
    presence: async () => "present",
    look: () => {
      resolve();
      return never();
    },
  };
  const starting = world.start(filesInMemory());
  await asked;
  await eventually("the lockdown is in force", async () => world.firewall.table);
  await world.clock.advance(SETTLE_MS);
  const warden = await starting;
  t.match((await warden.ask("status.read", {})).result, {
    tpm: { present: false, ownership: "unknown" },
    lockdown: { at: "base" },
  });
  t.match((await warden.ask("tpm.read", {})).result, { ownership: "unknown" });
  world.firewall.table = undefined;
  await world.clock.advance(10_000);
  t.ok(world.firewall.table, "the table that was removed is back");
  const stopping = warden.stop();
  await world.clock.advance(STOP_MS);
  await stopping;
});
