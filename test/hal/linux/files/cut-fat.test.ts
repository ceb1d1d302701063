// The power is cut at every call of a write to a state file on FAT.
import { join } from "node:path";
import { test } from "tap";
import { fatFiles, type FileOps, linuxFiles } from "../../../../hal/linux/files/index.ts";
import type { DurableFiles } from "../../../../hal/ports.ts";
import { afterFsck, fatDisk, type FatState, restoreFat } from "../../../lab/fakes/fat-disk.ts";
import { faultOf } from "../../../lab/runner/faults.ts";
import { temporaryDirectory } from "../../../lab/runner/temporary.ts";

type Make = (directory: string, ops?: FileOps) => Promise<DurableFiles>;
const onFat: Make = (directory, ops) => fatFiles(directory, ops === undefined ? {} : { ops });
const NAME = "birth.json";
const TEMPORARY = ".new-birth.json";
const TEXT = "what the device was born as";
const CALLS_MAX = 14;

interface Cut {
  readonly acknowledged: boolean;
  readonly state: FatState;
}

/** @returns every state of the disk after a cut before each call, and after the last. */
async function cuts(directory: string, make: Make): Promise<readonly Cut[]> {
  const all: Cut[] = [];
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
    all.push(...disk.states().map((state) => ({ acknowledged, state })));
  }
  return all;
}

/** @returns what a reader finds in `state` after the next start. */
async function foundIn(state: FatState, directory: string, make: Make): Promise<string> {
  await restoreFat(state, directory);
  const bytes = await (await make(directory, (await fatDisk(directory)).ops)).get(NAME, 1000);
  return bytes === undefined ? "none" : Buffer.from(bytes).toString();
}

const isBoth = ({ state }: Cut): boolean => state.get(NAME) === TEXT && state.get(TEMPORARY) === TEXT;

test("[STA-1] [ID-6] on FAT a state file is complete once its write has resolved, and before that complete or missing", async (t) => {
  const directory = await temporaryDirectory(t);
  const all = await cuts(directory, onFat);
  t.ok(all.some(isBoth), "among the states is one with both names for one chain of clusters");
  const found = { acknowledged: new Set<string>(), cut: new Set<string>() };
  for (const { acknowledged, state } of all)
    for (const checked of afterFsck(state))
      found[acknowledged ? "acknowledged" : "cut"].add(await foundIn(checked, join(directory, "again"), onFat));
  t.strictSame([...found.acknowledged], [TEXT]);
  t.strictSame([...found.cut].sort(), ["none", TEXT]);
});

test("[STA-1] after a power cut on FAT the file can be written again", async (t) => {
  const directory = await temporaryDirectory(t);
  for (const { acknowledged, state } of await cuts(directory, onFat))
    for (const checked of acknowledged ? [] : afterFsck(state)) {
      const work = join(directory, "again");
      await restoreFat(checked, work);
      const files = await onFat(work, (await fatDisk(work)).ops);
      if ((await files.get(NAME, 1000)) === undefined) await files.put(NAME, Buffer.from(TEXT));
      t.equal(Buffer.from((await files.get(NAME, 1000)) ?? []).toString(), TEXT);
    }
});

test("control: without fsck before the mount, the cleanup frees the clusters of an existing file", async (t) => {
  const directory = await temporaryDirectory(t);
  const both = (await cuts(directory, onFat)).find(isBoth);
  const fault = await faultOf(() => foundIn(both?.state ?? new Map(), join(directory, "again"), onFat));
  t.match(fault, { message: /they are one file/u });
});

test("control: written as on other file systems, the file can be lost", async (t) => {
  const directory = await temporaryDirectory(t);
  const all = await cuts(directory, linuxFiles);
  const lost = all.find(({ acknowledged, state }) => acknowledged && state.get(NAME) === "");
  t.equal(await foundIn(lost?.state ?? new Map(), join(directory, "again"), linuxFiles), "");
});

test("[STA-1] a file with bytes is not replaced on FAT: old and new could share clusters", async (t) => {
  const files = await fatFiles(await temporaryDirectory(t));
  await files.put(NAME, Buffer.from(TEXT));
  t.match(await faultOf(() => files.put(NAME, Buffer.from("another"))), { code: "file.write-failed", message: /not replaced/u });
  t.equal(Buffer.from((await files.get(NAME, 1000)) ?? []).toString(), TEXT);
});

test("[ID-20] a file without bytes that is known to have been complete counts as damaged", async (t) => {
  const directory = await temporaryDirectory(t);
  await restoreFat(new Map([[NAME, ""]]), directory);
  t.equal(await (await fatFiles(directory)).get(NAME, 1000), undefined);
  const asked: string[] = [];
  const files = await fatFiles(directory, { wasThere: async (name) => asked.push(name) > 0 });
  t.equal((await files.get(NAME, 1000))?.byteLength, 0);
  t.same(asked, [NAME]);
});
