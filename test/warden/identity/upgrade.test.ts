// The upgrade of the device key in the warden: what can be ordered, what an order grants, and the
// replacement in the birth record.
import { test } from "tap";
import type { Fingerprint } from "../../../hal/format/identity.ts";
import type { AuditEntry } from "../../../warden/audit/format/index.ts";
import { upgradePlanHash } from "../../../warden/identity/format.ts";
import {
  chooseIdentity,
  createBirthBook,
  createKeyUpgrades,
  type KeyUpgrades,
  recordBirth,
} from "../../../warden/identity/index.ts";
import { GRANT_LIFE_MS } from "../../../warden/identity/limits.ts";
import { type FakeClock, fakeClock } from "../../lab/fakes/clock.ts";
import { type FakeFiles, fakeFiles } from "../../lab/fakes/files.ts";
import { faultOf } from "../../lab/runner/faults.ts";

const IDENTITY = chooseIdentity({ commissionedId: undefined, serials: ["GW-4711"], interfaces: [], model: undefined });
const fingerprint = (hex: string): Fingerprint => `sha256:${hex.repeat(32)}`;
const BORN = { protection: "file", keyFingerprint: fingerprint("aa") } as const;
const BETTER = { protection: "tpm", keyFingerprint: fingerprint("bb") } as const;
const ORDER = "5a".repeat(32);

interface Rig {
  readonly birth: FakeFiles;
  readonly state: FakeFiles;
  readonly clock: FakeClock;
  readonly trail: AuditEntry[];
  isClockTrusted: boolean;
  upgrades: KeyUpgrades;
  /** The same device after a power-on. */
  restart(): void;
}

async function rigOf(): Promise<Rig> {
  const [birth, state, clock] = [fakeFiles(), fakeFiles(), fakeClock(1_800_000_000_000)];
  const trail: AuditEntry[] = [];
  const append = async (entry: AuditEntry): Promise<void> => void trail.push(entry);
  const open = (): KeyUpgrades =>
    createKeyUpgrades({
      births: createBirthBook(birth),
      state,
      clock,
      clockTrusted: () => rig.isClockTrusted,
      record: append,
      recordBirth: (record) => recordBirth(state, record, append),
    });
  const rig: Rig = {
    birth,
    state,
    clock,
    trail,
    isClockTrusted: true,
    upgrades: open(),
    restart: () => void (rig.upgrades = open()),
  };
  await createBirthBook(birth).record(IDENTITY, BORN);
  return rig;
}

async function ordered(rig: Rig, to: "tpm" | "sealed" = "tpm", nonce = ORDER): Promise<void> {
  const { planHash } = await rig.upgrades.verbs["key.offer"]({ protection: to });
  await rig.upgrades.order.execute({ by: "ada", nonce, ...(planHash === undefined ? {} : { planHash }) });
}

test("[ID-65] only a stronger key than the recorded one is on offer, and the hash says which replaces which", async (t) => {
  const { upgrades } = await rigOf();
  t.equal(upgrades.order.planHash(), undefined, "nothing before the agent has said what it can make");
  for (const protection of ["file", undefined] as const)
    t.same(await upgrades.verbs["key.offer"]({ protection }), {}, `${protection}`);
  const hashes = [];
  for (const to of ["sealed", "tpm"] as const) {
    const { planHash } = await upgrades.verbs["key.offer"]({ protection: to });
    t.equal(planHash, upgradePlanHash({ v: 1, kind: "key-upgrade", from: BORN, to }));
    t.equal(upgrades.order.planHash(), planHash);
    hashes.push(planHash);
  }
  const [sealed = ""] = hashes;
  for (const planHash of [undefined, sealed])
    t.equal((await faultOf(() => upgrades.order.execute({ by: "ada", nonce: ORDER, planHash }))).code, "order.invalid");
  t.equal(await upgrades.grant(), undefined);
});

test("[ID-66] [ID-67] one order grants one replacement: the id stays, the record names the key before, and no second birth is in the trail", async (t) => {
  const rig = await rigOf();
  t.equal((await faultOf(() => rig.upgrades.verbs["birth.replace"](BETTER))).code, "birth.conflict", "without an order");
  await ordered(rig);
  rig.restart();
  t.match(await rig.upgrades.grant(), { order: ORDER, by: "ada", from: BORN.keyFingerprint, to: "tpm" }, "it survives a restart");
  const weaker = { protection: "sealed", keyFingerprint: fingerprint("cc") } as const;
  t.equal((await faultOf(() => rig.upgrades.verbs["birth.replace"](weaker))).code, "key.weaker", "than what was ordered");
  t.match(await rig.upgrades.verbs["birth.replace"](BETTER), { ...BETTER, id: "GW-4711", previous: BORN.keyFingerprint });
  t.match(await rig.upgrades.verbs["birth.replace"](BETTER), BETTER, "the answer was lost, and the agent asks again");
  const other = { protection: "tpm", keyFingerprint: fingerprint("dd") } as const;
  t.equal((await faultOf(() => rig.upgrades.verbs["birth.replace"](other))).code, "birth.conflict", "it was used");
  t.equal((await faultOf(() => createBirthBook(rig.birth).record(IDENTITY, BORN))).code, "birth.conflict", "the old key is over");
  t.equal(await rig.upgrades.grant(), undefined);
  t.same(await rig.upgrades.verbs["key.offer"]({ protection: "tpm" }), {}, "nothing is stronger");
  t.same(
    rig.trail.map(({ event }) => event),
    ["key.upgrade-ordered", "birth.replaced"],
  );
});

test("[ID-67] a sealed key becomes one in the TPM by a second order, and never the other way", async (t) => {
  const rig = await rigOf();
  await ordered(rig, "sealed");
  const sealed = { protection: "sealed", keyFingerprint: fingerprint("cc") } as const;
  await rig.upgrades.verbs["birth.replace"](sealed);
  t.equal((await rig.upgrades.verbs["key.offer"]({ protection: "sealed" })).planHash, undefined);
  await ordered(rig, "tpm", "6b".repeat(32));
  t.match(await rig.upgrades.verbs["birth.replace"](BETTER), { previous: sealed.keyFingerprint });
  t.match([...rig.birth.contents.keys()].sort(), ["birth-sealed.json", "birth-tpm.json", "birth.json"], "each written once");
});

test("[ID-67] a stronger key than was ordered is accepted", async (t) => {
  const rig = await rigOf();
  await ordered(rig, "sealed");
  t.match(await rig.upgrades.verbs["birth.replace"](BETTER), { protection: "tpm" });
});

test("[ID-66] a second order takes the place of the first", async (t) => {
  const rig = await rigOf();
  await ordered(rig, "tpm");
  await ordered(rig, "sealed", "6b".repeat(32));
  t.match(await rig.upgrades.grant(), { order: "6b".repeat(32), to: "sealed" });
});

test("[ID-66] a grant ends after two weeks by a clock that can be trusted, whatever the clock said before", async (t) => {
  const rig = await rigOf();
  rig.isClockTrusted = false;
  await ordered(rig);
  await rig.clock.advance(2 * GRANT_LIFE_MS);
  t.match(await rig.upgrades.grant(), { order: ORDER, expires: undefined }, "no clock can judge it");
  rig.isClockTrusted = true;
  t.match(await rig.upgrades.grant(), { expires: new Date(rig.clock.nowMs() + GRANT_LIFE_MS).toISOString() });
  await rig.clock.set(rig.clock.nowMs() - GRANT_LIFE_MS);
  t.match(
    await rig.upgrades.grant(),
    { expires: new Date(rig.clock.nowMs() + GRANT_LIFE_MS).toISOString() },
    "the clock was ahead",
  );
  await rig.clock.advance(GRANT_LIFE_MS);
  t.match(await rig.upgrades.grant(), { order: ORDER });
  await rig.clock.advance(1);
  t.equal(await rig.upgrades.grant(), undefined);
  t.equal((await faultOf(() => rig.upgrades.verbs["birth.replace"](BETTER))).code, "birth.conflict");
  t.equal(rig.state.contents.has("key-grant.json"), false);
  t.same(
    rig.trail.map(({ event }) => event),
    ["key.upgrade-ordered", "key.upgrade-expired"],
  );
});

test("[ID-67] after a cut at any write of the replacement, the old key is recorded or the new one, and the same call finishes it", async (t) => {
  for (let cut = 1; ; cut++) {
    for (const files of ["birth", "state"] as const) {
      const rig = await rigOf();
      await ordered(rig);
      rig[files].faults.failAt(cut, "file.write-failed");
      const cutShort = await rig.upgrades.verbs["birth.replace"](BETTER).catch((error: unknown) => error);
      rig[files].faults.heal();
      rig.restart();
      const birth = await createBirthBook(rig.birth).read();
      t.ok([BORN.keyFingerprint, BETTER.keyFingerprint].includes(birth?.keyFingerprint ?? ""), `${files}, write ${cut}`);
      t.match(await rig.upgrades.verbs["birth.replace"](BETTER), BETTER, `${files}, write ${cut}: it is finished`);
      t.equal(await rig.upgrades.grant(), undefined);
      t.ok(rig.trail.some(({ event }) => event === "birth.replaced"));
      t.notOk(rig.trail.some(({ event }) => event === "birth.recorded"));
      if (files === "state" && !(cutShort instanceof Error)) return;
    }
  }
});

test("[ID-66] a grant that cannot be read grants nothing, and is ordered again", async (t) => {
  const rig = await rigOf();
  await ordered(rig);
  rig.state.contents.set("key-grant.json", Buffer.from("{"));
  t.equal(await rig.upgrades.grant(), undefined);
  await ordered(rig, "tpm", "6b".repeat(32));
  t.match(await rig.upgrades.grant(), { order: "6b".repeat(32) });
});

test("[ID-57] [ID-67] the key that a reset would destroy is the one that has replaced the first one", async (t) => {
  const births = createBirthBook(fakeFiles());
  t.equal(births.known(), undefined);
  await births.record(IDENTITY, BORN);
  t.match(births.known(), BORN);
  await Promise.all([births.read(), births.replace(BETTER, { from: BORN.keyFingerprint, to: "tpm" }), births.read()]);
  t.match(births.known(), BETTER);
});
