// The power is cut at every change that `init` makes to the hub's state directory.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type Test, test } from "tap";
import { loadAuthority, readAnchors } from "../../../hub/authority/index.ts";
import { initHub } from "../../../hub/index.ts";
import { readStateFile } from "../../../hub/state/index.ts";
import { type Change, crashDisk, crashStates, type DiskState, restore } from "../../lab/fakes/crash-disk.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";

type Found = "no hub" | "hub" | "broken hub";

async function changesOfInit(t: Test): Promise<{ readonly changes: readonly Change[]; readonly disk: string }> {
  const directory = await temporaryDirectory(t);
  const state = join(directory, "work");
  mkdirSync(state, { mode: 0o700 });
  const { ops, changes } = crashDisk(state);
  await initHub({ state, name: "Plant 7", hosts: ["hub.example"] }, ops);
  return { changes, disk: join(directory, "disk") };
}

function foundIn(state: DiskState, disk: string): Found {
  restore(state, disk);
  if (readStateFile(disk, "hub.json") === undefined) return "no hub";
  try {
    return loadAuthority(disk).anchors.name === readAnchors(disk).name ? "hub" : "broken hub";
  } catch {
    return "broken hub";
  }
}

test("[STA-1] a power cut during init leaves no hub or a complete one, and a complete one once init has resolved", async (t) => {
  const { changes, disk } = await changesOfInit(t);
  const cuts = changes.flatMap((_, index) => crashStates(changes.slice(0, index)));
  t.ok(cuts.length > 50, `${changes.length} changes, ${cuts.length} states of the disk`);
  const during = new Set(cuts.map((state) => foundIn(state, disk)));
  t.same(during, new Set<Found>(["no hub", "hub"]));
  t.same(new Set(crashStates(changes).map((state) => foundIn(state, disk))), new Set<Found>(["hub"]));
});

for (const kind of ["sync", "sync-directory"] as const)
  test(`[STA-1] control: without the last ${kind}, a hub that init reported can be lost or broken`, async (t) => {
    const { changes, disk } = await changesOfInit(t);
    const left = changes.findLastIndex((change) => change.kind === kind);
    const states = crashStates(changes.filter((_, index) => index !== left));
    t.ok(states.some((state) => foundIn(state, disk) !== "hub"));
  });
