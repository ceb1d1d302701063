// A power cut at any moment: the real append files on a disk that may tear, lose and reorder
// everything that was not synced.
import { test } from "tap";
import { linuxAppendFiles } from "../../../hal/linux/index.ts";
import { linuxAppendFiles as filesOn } from "../../../hal/linux/files/index.ts";
import { SEGMENT_RECORDS } from "../../../warden/audit/format/index.ts";
import { appendMany, entryOf, eventsOf, openOn } from "../../lab/worlds/audit.ts";
import { crashDisk, crashStates, restore } from "../../lab/fakes/crash-disk.ts";
import { type FakeFiles, fakeFiles } from "../../lab/fakes/files.ts";

/** Fills the segment in one write of very many sectors. */
const BULK = SEGMENT_RECORDS - 13;

function copyOf(state: FakeFiles): FakeFiles {
  const copy = fakeFiles();
  for (const [name, bytes] of state.contents) copy.contents.set(name, bytes);
  return copy;
}

test("[AUD-10] [AUD-21] after a power cut at every change of the disk, answered records are there, the tail is cut, and nothing is reported as tampering", async (t) => {
  const recorded = t.testdir({ recorded: {}, again: {} });
  const disk = crashDisk(`${recorded}/recorded`);
  const state = fakeFiles();
  const answered: { readonly changes: number; readonly size: number }[] = [];
  {
    await using files = await filesOn(`${recorded}/recorded`, disk.ops);
    const log = await openOn({ files, state });
    for (const count of [0, 1, 1, 9, 1, BULK, 1, 1]) {
      await appendMany(log, count);
      answered.push({ changes: disk.changes.length, size: log.head.size });
    }
  }
  let states = 0;
  const bulk = { from: answered[4]?.changes ?? 0, to: (answered[5]?.changes ?? 0) - 10 };
  for (let cut = 0; cut <= disk.changes.length; cut += cut > bulk.from && cut < bulk.to ? 10 : 1) {
    const expected = answered.findLast(({ changes }) => changes <= cut)?.size ?? 0;
    for (const crashed of crashStates(disk.changes.slice(0, cut))) {
      states += 1;
      restore(crashed, `${recorded}/again`);
      await using files = await linuxAppendFiles(`${recorded}/again`);
      const log = await openOn({ files, state: copyOf(state) });
      if (log.tampered !== undefined) t.fail(`after change ${cut}: ${log.tampered.message}`);
      const events = (await eventsOf(log)).map(({ event }) => event);
      if (events.indexOf("audit.started", expected) < expected)
        t.fail(`after change ${cut}: ${expected} were answered, found ${events.join(" ")}`);
      await log.append(entryOf(99));
    }
  }
  t.ok(states > 100, `${states} states`);
});
