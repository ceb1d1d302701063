// The power goes at every call of a write to a state file on FAT.
import { join } from "node:path";
import { test } from "tap";
import { fatFiles, linuxFiles } from "../../../../hal/linux/files/index.ts";
import type { DurableFiles } from "../../../../hal/ports.ts";
import { fatDisk, restoreFat } from "../../../lab/fat-disk.ts";
import { temporaryDirectory } from "../../../lab/temporary.ts";
import type { FileOps } from "../../../../hal/linux/files/index.ts";

type Make = (directory: string, ops?: FileOps) => Promise<DurableFiles>;
const NAME = "birth.json";
const TEXT = "what the device was born as";
const CALLS_MAX = 12;

/** @returns what a reader may find afterwards, for a cut before each call and for one after the last. */
async function cuts(
  directory: string,
  make: Make,
): Promise<readonly { readonly acknowledged: boolean; readonly found: string }[]> {
  const all: { acknowledged: boolean; found: string }[] = [];
  for (let stopAt = 0; stopAt <= CALLS_MAX; stopAt += 1) {
    const work = join(directory, `${stopAt}`);
    await restoreFat(new Map(), work);
    const disk = await fatDisk(work, stopAt);
    let acknowledged = false;
    try {
      await (await make(work, disk.ops)).put(NAME, Buffer.from(TEXT));
      acknowledged = true;
    } catch {
      // the cut
    }
    for (const state of disk.states()) {
      await restoreFat(state, work);
      const bytes = await (await make(work)).get(NAME, 1000);
      all.push({ acknowledged, found: bytes === undefined ? "none" : Buffer.from(bytes).toString() });
    }
  }
  return all;
}

test("[STA-1] [ID-6] on FAT a state file is there, whole, once it was reported written, and before that whole or not there", async (t) => {
  const all = await cuts(await temporaryDirectory(t), fatFiles);
  t.ok(all.some(({ acknowledged }) => acknowledged));
  t.ok(all.some(({ acknowledged }) => !acknowledged));
  t.strictSame([...new Set(all.filter(({ acknowledged }) => acknowledged).map(({ found }) => found))], [TEXT]);
  t.strictSame([...new Set(all.map(({ found }) => found))].sort(), ["none", TEXT]);
});

test("control: as on other file systems, it can be lost", async (t) => {
  const all = await cuts(await temporaryDirectory(t), linuxFiles);
  t.ok(all.some(({ acknowledged, found }) => acknowledged && found === ""));
});
