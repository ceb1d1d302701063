// The floors: how far back a device may go.
import fc from "fast-check";
import { test } from "tap";
import { floorsOf, openFloors } from "../../../ota/floor/index.ts";
import { fakeFiles } from "../../lab/fakes/files.ts";

test("[OTA-36] floors rise at commit, line by line, and survive a restart", async (t) => {
  const files = fakeFiles();
  const floors = await openFloors(files);
  t.same(floors.record(), { v: 1, serial: 0, lines: {} });
  await floors.commit({ line: "os", counter: 5, floor: 4 });
  await floors.commit({ line: "app", counter: 2, floor: 2 });
  await floors.commit({ line: "os", counter: 7, floor: 5 });
  const again = (await openFloors(files)).record();
  t.same(again, { v: 1, serial: 3, lines: { os: { floor: 5, committed: 7 }, app: { floor: 2, committed: 2 } } });
  t.same(
    floorsOf(again),
    new Map([
      ["app", 2],
      ["os", 5],
    ]),
  );
});

test("[OTA-36] a repeated commit writes once", async (t) => {
  const files = fakeFiles();
  const floors = await openFloors(files);
  await floors.commit({ line: "os", counter: 5, floor: 4 });
  const { changes } = files.faults;
  await floors.commit({ line: "os", counter: 5, floor: 4 });
  t.equal(files.faults.changes, changes);
  t.equal(floors.record().serial, 1);
});

test("[OTA-36] a floor never falls: returning to an allowed release leaves it, and a release below it cannot be committed", async (t) => {
  const floors = await openFloors(fakeFiles());
  await floors.commit({ line: "os", counter: 7, floor: 5 });
  await floors.commit({ line: "os", counter: 6, floor: 1 });
  t.same(floors.record().lines["os"], { floor: 5, committed: 6 });
  await t.rejects(floors.commit({ line: "os", counter: 4, floor: 1 }), { code: "floor.below" });
  await t.rejects(floors.commit({ line: "os", counter: 8, floor: 9 }), { code: "assert.broken" });
});

test("[OTA-36] for any commits in any order, with writes that fail, no floor falls and the serial only grows", async () => {
  const commits = fc.array(
    fc.record({ line: fc.constantFrom("os", "app", "__proto__"), counter: fc.nat(9), floor: fc.nat(9), fails: fc.boolean() }),
    { maxLength: 20 },
  );
  await fc.assert(
    fc.asyncProperty(commits, async (all) => {
      const files = fakeFiles();
      let floors = await openFloors(files);
      for (const { fails, ...commit } of all) {
        const before = floors.record();
        if (fails) files.faults.failAt(1, "file.no-space");
        await floors.commit(commit).catch(() => undefined);
        files.faults.heal();
        floors = await openFloors(files);
        const after = floors.record();
        if (after.serial < before.serial) return false;
        for (const [line, floor] of floorsOf(before)) if ((floorsOf(after).get(line) ?? -1) < floor) return false;
      }
      return true;
    }),
  );
});

test("[OTA-36] a record that cannot be read is a fault, never a fresh start", async (t) => {
  const files = fakeFiles();
  for (const text of [
    "",
    "{}",
    '{"floors":{},"serial":0,"v":2}',
    '{"lines":{},"serial":-1,"v":1}',
    '{"lines":{"os":{"committed":1,"floor":2}},"serial":1,"v":1}',
    '{"lines":{"../os":{"committed":1,"floor":1}},"serial":1,"v":1}',
    '{"lines":{},"serial":0,"v":1} ',
    " ".repeat(10_000),
  ]) {
    files.contents.set("floors.json", Buffer.from(text));
    await t.rejects(openFloors(files), { code: /floor\.invalid|file\.too-large|record\.newer/ }, text.slice(0, 60));
  }
});
