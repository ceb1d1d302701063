// The power is cut at every change that the release tool, or the hub, makes to replace a file of a
// repository.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Test, test } from "tap";
import { putCopy, putFile } from "../../../build/release/files.ts";
import type { FileOps } from "../../../hal/linux/files/index.ts";
import { putCopy as putCopyOnHub } from "../../../hub/repository/copy.ts";
import { type Change, crashDisk, crashStates } from "../../lab/fakes/crash-disk.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";

const NAME = "timestamp.json";
/** Longer than some sectors, and different in every part. */
const [OLD, NEW] = ["old ".repeat(500), "new ".repeat(700)] as const;

type Put = (path: string, text: string, ops: FileOps, source: string) => Promise<void>;

const WRITERS: Readonly<Record<string, Put>> = {
  "the release tool writes": (path, text, ops) => putFile(path, Buffer.from(text), { ops }),
  "the release tool copies": (path, _text, ops, source) => putCopy(source, path, { ops }),
  "the hub publishes": (path, _text, ops, source) => putCopyOnHub(source, path, ops),
};

interface Replacing {
  readonly changes: readonly Change[];
  /** How many changes there were before the old file was replaced. */
  readonly start: number;
}

async function replacing(t: Test, put: Put): Promise<Replacing> {
  const directory = await temporaryDirectory(t);
  const work = join(directory, "work");
  mkdirSync(work);
  const { ops, changes } = crashDisk(work);
  let start = 0;
  for (const text of [OLD, NEW]) {
    start = changes.length;
    writeFileSync(join(directory, "source"), text);
    await put(join(work, NAME), text, ops, join(directory, "source"));
  }
  return { changes, start };
}

function contents(changes: readonly Change[]): ReadonlySet<string | undefined> {
  return new Set(
    crashStates(changes)
      .map((state) => state.get(NAME))
      .map((bytes) => bytes && Buffer.from(bytes).toString()),
  );
}

for (const [what, put] of Object.entries(WRITERS)) {
  test(`[STA-1] [OTA-14] ${what} a file: a power cut leaves the old or the new one, complete`, async (t) => {
    const { changes, start } = await replacing(t, put);
    const during = changes.slice(start).map((_, index) => contents(changes.slice(0, start + index)));
    t.same(during[0], new Set([OLD]), "the first put is durable");
    t.same(new Set(during.flatMap((found) => [...found])), new Set([OLD, NEW]));
    t.same(contents(changes), new Set([NEW]), "and so is the second");
  });

  test(`[STA-1] control: ${what} a file without one of the syncs, and some power cut breaks it`, async (t) => {
    const { changes, start } = await replacing(t, put);
    for (const kind of ["sync", "sync-directory"] as const) {
      const left = changes.findIndex((change, index) => index >= start && change.kind === kind);
      t.notSame(contents(changes.filter((_, index) => index !== left)), new Set([NEW]), kind);
    }
  });
}
