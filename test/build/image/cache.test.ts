// The build cache: entries are made once, and completely.
import { mkdir, readdir, readFile, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { cacheDirectory } from "../../../build/image/cache.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";

const LONG_AGO = new Date(Date.now() - 3 * 3_600_000);

test("an entry is made once for its key, even by several runs at a time, and unused entries are removed", async (t) => {
  const cache = await temporaryDirectory(t);
  for (const name of ["disk-01", "disk-02", "other-01"]) await mkdir(join(cache, name));
  for (const name of ["disk-01", "other-01"]) await utimes(join(cache, name), LONG_AGO, LONG_AGO);
  let made = 0;
  const make = async (directory: string): Promise<void> => {
    made += 1;
    await writeFile(join(directory, "it"), "whole");
  };
  const [one, two] = await Promise.all([cacheDirectory("disk", "0a", make, cache), cacheDirectory("disk", "0a", make, cache)]);
  t.equal(one, join(cache, "disk-0a"));
  t.equal(two, one);
  const before = made;
  t.equal(await cacheDirectory("disk", "0a", make, cache), one);
  t.equal(made, before, "it is there");
  t.equal(await readFile(join(one, "it"), "utf8"), "whole");
  t.same((await readdir(cache)).sort(), ["disk-02", "disk-0a", "other-01"], "entries that may still be in use stay");
});

test("an incomplete entry is not kept", async (t) => {
  const cache = await temporaryDirectory(t);
  const half = cacheDirectory(
    "disk",
    "0a",
    async (directory) => {
      await writeFile(join(directory, "it"), "ha");
      await readFile(join(directory, "not there"));
    },
    cache,
  );
  await t.rejects(half, { code: "ENOENT" });
  t.same(await readdir(cache), []);
});
