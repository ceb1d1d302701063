// The guard of the device's TPM, with a chip that a test plugs and a clock that it moves. [ID-70]
// [ID-71] [ID-72] [ID-73]
import { test } from "tap";
import { Fault, type FaultCode } from "../../../hal/fault.ts";
import type { BirthRecord } from "../../../hal/format/identity.ts";
import type { AuditEntry } from "../../../warden/audit/format/index.ts";
import { type ChipGuard, openChipGuard } from "../../../warden/chip/index.ts";
import { bornOn, CLEARED_CHIP, type FakeChip, fakeChip, OTHER_CHIP, OWN_CHIP } from "../../lab/fakes/chip.ts";
import { fakeClock } from "../../lab/fakes/clock.ts";

/** So long is an absent chip only "not known yet" on a machine that has been up for a while. */
const WAIT_MS = 10_000;
const SOON_MS = 2000;
const LATER_MS = 15_000;

interface Rig {
  birth: BirthRecord | undefined;
  readonly clock: ReturnType<typeof fakeClock>;
  readonly chip: FakeChip;
  readonly trail: AuditEntry[];
  readonly journal: Fault[];
  readonly holds: (FaultCode | undefined)[];
  open(): Promise<ChipGuard>;
}

function guardRig(plugged: FakeChip["plugged"], birth: BirthRecord | undefined = bornOn(OWN_CHIP)): Rig {
  const rig: Rig = {
    birth,
    clock: fakeClock(),
    chip: fakeChip(plugged),
    trail: [],
    journal: [],
    holds: [],
    open: async () => {
      const guard = await openChipGuard({
        chip: rig.chip,
        birth: async () => rig.birth,
        clock: rig.clock,
        record: async (entry) => void rig.trail.push(entry),
        report: (fault) => void rig.journal.push(fault),
      });
      guard.watch(async (reason) => void rig.holds.push(reason));
      return guard;
    },
  };
  return rig;
}

const events = ({ trail }: Rig): readonly string[] =>
  trail.map(({ event, detail }) => `${event} ${String(detail?.["code"] ?? "")}`.trim());

test("[ID-72] with its own TPM nothing is held, and it is not looked at again", async (t) => {
  const rig = guardRig(OWN_CHIP);
  const guard = await rig.open();
  t.equal(guard.held(), undefined);
  t.same(guard.troubles(), []);
  t.equal(rig.clock.sleeping, 0);
  rig.chip.plugged = undefined;
  await rig.clock.advance(3_600_000);
  t.equal(rig.chip.looks, 1);
  t.same([rig.trail, rig.journal, rig.holds], [[], [], []]);
});

test("[ID-70] a device whose key is in a file never looks for a TPM", async (t) => {
  for (const birth of [bornOn(OWN_CHIP, { protection: "file", chip: undefined }), undefined]) {
    const rig = guardRig(undefined, birth);
    rig.birth = birth;
    const guard = await rig.open();
    await rig.clock.advance(60_000);
    t.equal(guard.held(), undefined);
    t.equal(rig.chip.looks, 0);
  }
});

test("[ID-71] a driver that comes late: the doors are shut and the TPM is not called missing, and they open when it is there", async (t) => {
  const rig = guardRig(undefined);
  const guard = await rig.open();
  t.equal(guard.held(), "key.tpm-unavailable");
  t.match(guard.troubles(), [{ message: /^not known yet whether the device's TPM is here: TPM missing/u }]);
  await rig.clock.advance(SOON_MS * 2);
  t.equal(guard.held(), "key.tpm-unavailable");
  rig.chip.plugged = OWN_CHIP;
  await rig.clock.advance(SOON_MS);
  t.equal(guard.held(), undefined);
  t.same(rig.holds, [undefined]);
  t.same(events(rig), [], "a late driver is no event");
});

test("[ID-71] [ID-73] a TPM that stays away is called missing, once in the trail; its return opens the doors and is recorded", async (t) => {
  const rig = guardRig(undefined);
  const guard = await rig.open();
  await rig.clock.advance(WAIT_MS);
  t.equal(guard.held(), "key.tpm-missing");
  t.match(guard.troubles(), [{ code: "key.tpm-missing", message: /^TPM missing/u }]);
  await rig.clock.advance(3_600_000);
  t.same(events(rig), ["chip.lost key.tpm-missing"]);
  t.same(rig.holds, ["key.tpm-missing"]);
  t.same(
    rig.journal.map(({ code }) => code),
    ["key.tpm-unavailable", "key.tpm-missing"],
    "the journal has each once",
  );
  rig.chip.plugged = OWN_CHIP;
  await rig.clock.advance(LATER_MS);
  t.same(rig.holds, ["key.tpm-missing", undefined]);
  t.same(events(rig), ["chip.lost key.tpm-missing", "chip.found"]);
  t.equal(rig.clock.sleeping, 0, "it is not looked at again");
});

test("[ID-71] another TPM and a cleared one say so at once", async (t) => {
  for (const [plugged, code] of [
    [OTHER_CHIP, "key.not-this-board"],
    [CLEARED_CHIP, "key.tpm-cleared"],
  ] as const) {
    const rig = guardRig(plugged);
    const guard = await rig.open();
    t.equal(guard.held(), code);
    t.same(events(rig), [`chip.lost ${code}`]);
    await guard.stop();
    t.equal(rig.clock.sleeping, 0);
  }
});

test("[ID-71] a TPM that answers nothing, or hangs, is not known yet; after the wait the doors stay shut and the trail has it", async (t) => {
  for (const plugged of [new Fault("tpm.busy", "it tests itself"), "hangs"] as const) {
    const rig = guardRig(plugged);
    const opening = rig.open();
    await rig.clock.advance(5000);
    const guard = await opening;
    t.match(guard.troubles(), [{ code: "key.tpm-unavailable", message: /^not known yet/u }]);
    await rig.clock.advance(WAIT_MS * 3);
    t.match(guard.troubles(), [{ code: "key.tpm-unavailable", message: /cannot be used now/u }]);
    t.same(events(rig), ["chip.lost key.tpm-unavailable"]);
    t.same(rig.holds, [], "the reason did not change");
    if (plugged === "hangs") t.equal(rig.chip.looks, 1, "one question at a time");
    await guard.stop();
  }
});

test("[ID-72] a key that an operator lets replace the one that is gone opens the doors", async (t) => {
  const rig = guardRig(OTHER_CHIP);
  await rig.open();
  rig.birth = bornOn(OTHER_CHIP);
  await rig.clock.advance(LATER_MS);
  t.same(rig.holds, [undefined]);
  t.same(events(rig), ["chip.lost key.not-this-board", "chip.found"]);
});

test("[AUD-12] a TPM that is plugged and pulled all day fills no log", async (t) => {
  const rig = guardRig(OTHER_CHIP);
  await rig.open();
  for (let n = 0; n < 200; n++) {
    rig.chip.plugged = n % 2 === 0 ? CLEARED_CHIP : OTHER_CHIP;
    await rig.clock.advance(LATER_MS);
  }
  t.ok(rig.trail.length <= 16 + (200 * LATER_MS) / 60_000, `${rig.trail.length} records`);
  t.equal(rig.holds.length, 200, "and the doors follow each time");
});
