// A whole warden whose TPM is pulled out, swapped and cleared between two starts. [ID-70] [ID-72]
import { test } from "tap";
import { BIRTH_RECORD, type BirthRecord } from "../../../hal/format/identity.ts";
import { writeRecord } from "../../../hal/record.ts";
import { bornOn, CLEARED_CHIP, type FakeChip, fakeChip, OTHER_CHIP, OWN_CHIP } from "../../lab/fakes/chip.ts";
import { filesInMemory, type MemoryFiles, recordsIn, type RunningWarden, wholeWarden } from "../../lab/worlds/whole-warden.ts";

async function statusOf(warden: RunningWarden): Promise<{ readonly lockdown: unknown; readonly troubles: readonly string[] }> {
  const { result } = await warden.ask("status.read", {});
  const { lockdown, troubles = [] } = result ?? {};
  return { lockdown, troubles: Array.isArray(troubles) ? troubles.map((one: unknown) => JSON.stringify(one)) : [] };
}

async function born(record: BirthRecord = bornOn(OWN_CHIP)): Promise<MemoryFiles> {
  const files = filesInMemory();
  await writeRecord(files.birth, "birth.json", BIRTH_RECORD, record);
  return files;
}

test("[ID-70] [ID-72] [ID-73] a captured agent cannot hide that the TPM is gone: the doors are shut until the device's own is back, and the birth record stays", async (t) => {
  const variants: readonly (readonly [plugged: FakeChip["plugged"], code: string, words: RegExp])[] = [
    [undefined, "key.tpm-missing", /TPM missing/u],
    [OTHER_CHIP, "key.not-this-board", /not this board/u],
    [CLEARED_CHIP, "key.tpm-cleared", /TPM cleared/u],
  ];
  for (const [plugged, code, words] of variants) {
    const world = wholeWarden(t);
    const files = await born();
    const record = files.birth.contents.get("birth.json");
    world.chip = fakeChip(OWN_CHIP);
    const healthy = await world.start(files);
    t.match(await statusOf(healthy), { lockdown: { at: "base", held: undefined }, troubles: [] });
    const open = world.firewall.table ?? "";
    t.match(open, /8080/u);
    await healthy.stop();

    const chip = fakeChip(plugged);
    world.chip = chip;
    const tables = world.firewall.history.length;
    const warden = await world.start(files);
    await world.clock.advance(10_000);
    const { lockdown, troubles } = await statusOf(warden);
    t.match(lockdown, { at: "base", held: code });
    t.match(troubles[0], words);
    t.notOk(
      world.firewall.history.slice(tables).some((table) => table.includes("8080")),
      "no table since the start has the door open",
    );
    // what a captured agent would say
    const { fault } = await warden.ask("birth.record", { protection: "file", keyFingerprint: `sha256:${"b".repeat(64)}` });
    t.equal(fault?.code, "birth.conflict");
    t.equal((await warden.ask("lockdown.propose", {})).fault?.code, "lockdown.unchanged");
    t.same(files.birth.contents.get("birth.json"), record, "the record is as it was");

    chip.plugged = OWN_CHIP;
    await world.clock.advance(15_000);
    t.match(await statusOf(warden), { lockdown: { at: "base", held: undefined }, troubles: [] });
    t.equal(world.firewall.table, open);
    await warden.stop();
    const trail = recordsIn(files.audit).filter(({ event }) => event.startsWith("chip."));
    t.match(trail, [{ event: "chip.lost", detail: { code } }, { event: "chip.found" }]);
    t.equal(trail.length, 2);
  }
});

test("[ID-70] a device that was born with its key in a file, and one without a TPM in its configuration, are as open as ever", async (t) => {
  const world = wholeWarden(t);
  const files = await born(bornOn(OWN_CHIP, { protection: "file", chip: undefined }));
  const chip = fakeChip(undefined);
  world.chip = chip;
  const warden = await world.start(files);
  t.match(await statusOf(warden), { lockdown: { held: undefined }, troubles: [] });
  t.equal(chip.looks, 0);
  await warden.stop();

  const without = wholeWarden(t);
  t.match(await statusOf(await without.start(await born())), { lockdown: { held: undefined }, troubles: [] });
});
