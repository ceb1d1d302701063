// The power fails at every step of taking and of handing back a real TPM: the next start goes on,
// and no password is lost.
import { test } from "tap";
import { HANDLE, hierarchyChangeAuth } from "../../../hal/linux/tpm/index.ts";
import { openTpm } from "../../lab/counterparts/swtpm.ts";
import { tpmRelay } from "../../lab/counterparts/tpm-relay.ts";
import { needs } from "../../lab/runner/needs.ts";
import { ownedChip } from "../../lab/worlds/owned-chip.ts";

const skip = needs("swtpm");

/** Storage root, endorsement key, counter, limits, Clear, three passwords. */
const TAKING = 8;
/** Limits, counter, three passwords, two keys, Clear. */
const RELEASING = 8;
/** Writes of the record: passwords, two Names, the lockout's intent and success, the end. */
const NOTES = 6;

test("[ID-50] the power fails at each command that takes a chip, before it and after it", { skip }, async (t) => {
  const world = await ownedChip(t);
  const relay = await tpmRelay(
    t,
    () => world.swtpm().port,
    () => world.swtpm().cut(),
  );
  const { tcti } = relay;
  relay.cutAt(undefined);
  await (await world.start({ tcti })).release();
  t.equal(relay.changes.length, TAKING + RELEASING, "these are all commands that change something");
  for (let n = 1; n <= TAKING; n++)
    for (const when of ["before", "after"] as const) {
      relay.cutAt(n, when);
      const cut = await world.start({ tcti });
      t.notMatch(cut.state(), { ownership: "ours" }, `command ${n}, ${when}: the power is off`);
      t.match(cut.troubles(), [{ code: "tpm.unreachable" }]);
      await cut.stop();
      await world.cycle();
      relay.cutAt(undefined);
      const resumed = await world.start({ tcti });
      t.match(resumed.state(), { ownership: "ours", clear: "forbidden", lockedOut: false }, `command ${n}, ${when}: it goes on`);
      // This needs each of the passwords, and the lockout hierarchy not locked.
      t.same(await resumed.release(), [], `command ${n}, ${when}: no password is lost`);
      await resumed.stop();
    }
});

test("[ID-53] the power fails at each command that hands a chip back, before it and after it", { skip }, async (t) => {
  const world = await ownedChip(t);
  const relay = await tpmRelay(
    t,
    () => world.swtpm().port,
    () => world.swtpm().cut(),
  );
  const { tcti } = relay;
  for (let n = 1; n <= RELEASING; n++)
    for (const when of ["before", "after"] as const) {
      relay.cutAt(undefined);
      const owned = await world.start({ tcti });
      relay.cutAt(n, when);
      await t.rejects(owned.release(), { code: "tpm.unreachable" }, `command ${n}, ${when}: the power is off`);
      await owned.stop();
      await world.cycle();
      relay.cutAt(undefined);
      const resumed = await world.start({ tcti });
      t.match(resumed.state(), { ownership: "nobody", clear: "possible" }, `command ${n}, ${when}: it goes on by itself`);
      t.notOk(world.files.contents.has("tpm.json"));
      t.same(await resumed.release(), []);
      await resumed.stop();
    }
});

test("[ID-50] the disk fails, or the power with it, at each write of the record", { skip }, async (t) => {
  const world = await ownedChip(t);
  for (let n = 1; n <= NOTES; n++) {
    world.files.faults.failAt(n, "file.write-failed");
    const cut = await world.start();
    t.match(cut.troubles(), [{ code: "file.write-failed" }], `write ${n}`);
    await cut.stop();
    await world.cycle();
    const resumed = await world.start();
    t.match(resumed.state(), { ownership: "ours" }, `write ${n}: it goes on`);
    t.same(await resumed.release(), [], `write ${n}: no password is lost`);
    await resumed.stop();
  }
});

test("[ID-50] a lockout password of another program that came in between is tried once, and never again", { skip }, async (t) => {
  const world = await ownedChip(t);
  const relay = await tpmRelay(
    t,
    () => world.swtpm().port,
    () => world.swtpm().cut(),
  );
  relay.cutAt(TAKING);
  await (await world.start({ tcti: relay.tcti })).stop();
  await world.cycle();
  {
    await using tpm = await openTpm(world.swtpm());
    await hierarchyChangeAuth(tpm, HANDLE.lockout, Buffer.from("somebody's"));
  }
  for (const what of ["the one try", "a later start"]) {
    relay.cutAt(undefined);
    const foreign = await world.start({ tcti: relay.tcti });
    t.match(foreign.details(), { ownership: "others", why: /another program set the lockout password/u }, what);
    await foreign.stop();
    t.match(Buffer.from(world.files.contents.get("tpm.json") ?? []).toString(), /"lockout":"foreign"/u);
    // A restart unlocks the lockout hierarchy after the wrong try: the somebody is not shut out.
    if (what === "the one try") await world.cycle();
    await using tpm = await openTpm(world.swtpm());
    const auth = { kind: "password", auth: Buffer.from("somebody's") } as const;
    await hierarchyChangeAuth(tpm, HANDLE.lockout, auth.auth, auth);
  }
});
