// The contract of DurableFiles, in memory and on the disk.
import { test } from "tap";
import { linuxFiles } from "../../hal/linux/files/index.ts";
import type { DurableFiles } from "../../hal/ports.ts";
import { fakeFiles } from "../lab/fakes/files.ts";

const implementations: Record<string, (directory: string) => Promise<DurableFiles>> = {
  fakeFiles: async () => fakeFiles(),
  linuxFiles: (directory) => linuxFiles(directory),
};

for (const [name, make] of Object.entries(implementations)) {
  test(`${name}: get returns what was put, and a second put replaces it`, async (t) => {
    const files = await make(t.testdir());
    await files.put("record.json", Buffer.from("one, longer"));
    await files.put("record.json", Buffer.from("two"));
    t.same(await files.get("record.json", 100), Buffer.from("two"));
    await files.put("empty", new Uint8Array());
    t.same(await files.get("empty", 0), Buffer.from(""));
  });

  test(`${name}: a missing file is undefined, and removing it is no fault`, async (t) => {
    const files = await make(t.testdir());
    t.equal(await files.get("none", 10), undefined);
    await files.put("some", Buffer.from("x"));
    await files.remove("some");
    await files.remove("some");
    t.equal(await files.get("some", 10), undefined);
  });

  test(`${name}: [STA-2] more bytes than the bound are refused, exactly the bound is read`, async (t) => {
    const files = await make(t.testdir());
    await files.put("record", Buffer.alloc(64, 7));
    t.equal((await files.get("record", 64))?.byteLength, 64);
    await t.rejects(files.get("record", 63), { code: "file.too-large" });
  });

  test(`${name}: get returns a copy of the caller's own`, async (t) => {
    const files = await make(t.testdir());
    const bytes = Buffer.from("kept");
    await files.put("record", bytes);
    bytes.fill(0);
    (await files.get("record", 10))?.fill(0);
    t.same(await files.get("record", 10), Buffer.from("kept"));
  });

  test(`${name}: puts of one name that overlap end in the order of the calls`, async (t) => {
    const files = await make(t.testdir());
    await Promise.all(Array.from({ length: 20 }, (_, i) => files.put("record", Buffer.from(`${i}`))));
    t.same(await files.get("record", 10), Buffer.from("19"));
  });

  test(`${name}: a name that could leave the directory is a broken assumption`, async (t) => {
    const files = await make(t.testdir());
    for (const bad of ["", "..", "../x", "a/b", ".hidden", "Capital", "a\0", "x".repeat(129)]) {
      await t.rejects(files.put(bad, Buffer.from("x")), { code: "assert.broken" }, `put "${bad}"`);
      await t.rejects(files.get(bad, 10), { code: "assert.broken" }, `get "${bad}"`);
      await t.rejects(files.remove(bad), { code: "assert.broken" }, `remove "${bad}"`);
    }
  });
}
