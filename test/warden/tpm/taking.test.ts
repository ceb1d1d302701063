// Taking ownership of a real TPM, and handing it back.
import { test } from "tap";
import {
  clearControl,
  handlesFrom,
  FIRST_HANDLE,
  hierarchyChangeAuth,
  HANDLE,
  NO_PASSWORD,
} from "../../../hal/linux/tpm/index.ts";
import { openTpm } from "../../lab/counterparts/swtpm.ts";
import { needs } from "../../lab/runner/needs.ts";
import { ownedChip } from "../../lab/worlds/owned-chip.ts";

const skip = needs("swtpm");
const SOMEBODYS = Buffer.from("somebody's");

test("[ID-50] [ID-51] a chip of nobody is taken at the first start, and is ours at each later one", { skip }, async (t) => {
  const world = await ownedChip(t);
  const owned = await world.start();
  t.same(owned.troubles(), []);
  const expected = { present: true, ownership: "ours", clear: "forbidden", lockedOut: false, storageKey: "standard" };
  t.match(owned.details(), { ...expected, failuresMax: 32, recoveryS: 600 });
  t.match(world.records, [{ event: "tpm.owned", result: "ok" }]);
  const before = world.files.contents.get("tpm.json");
  await owned.stop();
  await world.cycle();
  const again = await world.start();
  t.same(again.state(), owned.state());
  t.equal(world.records.length, 1, "it is told once");
  t.same(world.files.contents.get("tpm.json"), before);
});

test(
  "[ID-52] a chip with a password of somebody else is left as it is, and the status says which and why",
  { skip },
  async (t) => {
    for (const hierarchy of ["owner", "endorsement", "lockout"] as const) {
      const world = await ownedChip(t);
      {
        await using tpm = await openTpm(world.swtpm());
        await hierarchyChangeAuth(tpm, HANDLE[hierarchy], SOMEBODYS);
      }
      const left = await world.start();
      t.match(left.details(), { ownership: "others", clear: "possible", why: new RegExp(`${hierarchy} passwords are set`, "u") });
      t.match(left.troubles(), [{ code: "tpm.owned-by-others" }]);
      t.same([...world.files.contents.keys()], []);
      await using tpm = await openTpm(world.swtpm());
      t.same(await handlesFrom(tpm, FIRST_HANDLE.persistent), []);
      await hierarchyChangeAuth(tpm, HANDLE[hierarchy], new Uint8Array(), { kind: "password", auth: SOMEBODYS });
    }
  },
);

test("[ID-53] what was taken is handed back: passwords, counter, keys, limits and record", { skip }, async (t) => {
  const world = await ownedChip(t);
  const owned = await world.start();
  t.same(await owned.release(), []);
  t.same(await owned.release(), [], "once more does nothing");
  t.match(owned.details(), { ownership: "nobody", clear: "possible", failuresMax: 3, recoveryS: 1000 });
  t.match(
    world.records.map(({ event }) => event),
    ["tpm.owned", "tpm.released"],
  );
  t.notOk(world.files.contents.has("tpm.json"));
  await using tpm = await openTpm(world.swtpm());
  t.same(await handlesFrom(tpm, FIRST_HANDLE.persistent), []);
  t.same(await handlesFrom(tpm, FIRST_HANDLE.nv), []);
  for (const hierarchy of ["owner", "endorsement", "lockout"] as const)
    await hierarchyChangeAuth(tpm, HANDLE[hierarchy], new Uint8Array());
});

test("[ID-53] where the firmware shut the platform hierarchy, Clear stays forbidden, and that is said", { skip }, async (t) => {
  const world = await ownedChip(t);
  const owned = await world.start();
  {
    await using tpm = await openTpm(world.swtpm());
    await hierarchyChangeAuth(tpm, HANDLE.platform, SOMEBODYS);
  }
  t.match(await owned.release(), [/^TPM2_Clear stays forbidden until the firmware/u]);
  t.match(owned.state(), { ownership: "nobody", clear: "forbidden" });
  await using tpm = await openTpm(world.swtpm());
  await t.rejects(clearControl(tpm, false, NO_PASSWORD, "platform"), { code: "tpm.auth-failed" });
  await hierarchyChangeAuth(tpm, HANDLE.owner, new Uint8Array());
});
