// The contract of AppendFiles, in memory and on the disk.
import { test } from "tap";
import { linuxAppendFiles } from "../../hal/linux/files/index.ts";
import type { AppendFiles } from "../../hal/ports.ts";
import { fakeAppendFiles } from "../lab/fakes/files.ts";

const implementations: Record<string, (directory: string) => Promise<AppendFiles & AsyncDisposable>> = {
  fakeAppendFiles: async () => fakeAppendFiles(),
  linuxAppendFiles: (directory) => linuxAppendFiles(directory),
};

for (const [name, make] of Object.entries(implementations)) {
  test(`${name}: appends add up, in the order of the calls`, async (t) => {
    await using files = await make(t.testdir());
    await files.append("log", Buffer.from("one "));
    await files.append("log", new Uint8Array());
    await Promise.all([files.append("log", Buffer.from("two ")), files.append("log", Buffer.from("three"))]);
    t.same(await files.read("log", 100), Buffer.from("one two three"));
    await t.rejects(files.read("log", 12), { code: "file.too-large" });
    t.equal(await files.read("none", 10), undefined);
  });

  test(`${name}: the list is sorted and knows what was removed`, async (t) => {
    await using files = await make(t.testdir());
    for (const segment of ["10", "9", "a", "1"]) await files.append(segment, Buffer.from(segment));
    await files.remove("9");
    await files.remove("9");
    t.strictSame(await files.list(), ["1", "10", "a"]);
  });

  test(`${name}: more files work than are kept open`, async (t) => {
    await using files = await make(t.testdir());
    for (let round = 0; round < 3; round++)
      await Promise.all(Array.from({ length: 12 }, (_, i) => files.append(`segment-${i}`, Buffer.from(`${round}`))));
    for (let i = 0; i < 12; i++) t.same(await files.read(`segment-${i}`, 10), Buffer.from("012"));
  });

  test(`${name}: a cut keeps the start, and appends go on from there`, async (t) => {
    await using files = await make(t.testdir());
    await files.append("log", Buffer.from("whole-torn"));
    await files.truncate("log", 5);
    await files.append("log", Buffer.from("!"));
    t.same(await files.read("log", 100), Buffer.from("whole!"));
    await files.truncate("log", 0);
    t.same(await files.read("log", 100), Buffer.from(""));
  });

  test(`${name}: a cut never lengthens a file and never makes one`, async (t) => {
    await using files = await make(t.testdir());
    await files.append("log", Buffer.from("abc"));
    await t.rejects(files.truncate("log", 4), { code: "file.write-failed" });
    await t.rejects(files.truncate("none", 0), { code: "file.write-failed" });
    t.strictSame(await files.list(), ["log"]);
  });

  test(`${name}: a write goes over what is there, brings its zeros, and gives the file's length`, async (t) => {
    await using files = await make(t.testdir());
    t.equal(await files.write("log", 0, Buffer.from("one"), 5), 8);
    t.same(await files.read("log", 100), Buffer.from("one\0\0\0\0\0"));
    t.equal(await files.write("log", 3, Buffer.from("two")), 8);
    t.same(await files.read("log", 100), Buffer.from("onetwo\0\0"));
    t.equal(await files.write("log", 6, Buffer.from("three"), 1), 12);
    t.same(await files.read("log", 100), Buffer.from("onetwothree\0"));
    await files.truncate("log", 6);
    t.equal(await files.write("log", 6, Buffer.from("!")), 7);
    await files.append("log", Buffer.from("?"));
    t.equal(await files.write("log", 8, Buffer.from(".")), 9, "after an append, too");
    t.same(await files.read("log", 100), Buffer.from("onetwo!?."));
  });

  test(`${name}: a write leaves no hole, and makes a file only at its start`, async (t) => {
    await using files = await make(t.testdir());
    await t.rejects(files.write("log", 1, Buffer.from("x")), { code: "file.write-failed" });
    t.strictSame(await files.list(), []);
    await files.write("log", 0, Buffer.from("abc"));
    await t.rejects(files.write("log", 4, Buffer.from("x")), { code: "file.write-failed" });
    t.same(await files.read("log", 100), Buffer.from("abc"));
    await files.truncate("log", 1);
    await t.rejects(files.write("log", 2, Buffer.from("x")), { code: "file.write-failed" });
    await files.remove("log");
    await t.rejects(files.write("log", 1, Buffer.from("x")), { code: "file.write-failed" });
  });

  test(`${name}: a removed file starts again empty`, async (t) => {
    await using files = await make(t.testdir());
    await files.append("log", Buffer.from("old"));
    await files.remove("log");
    await files.append("log", Buffer.from("new"));
    t.same(await files.read("log", 100), Buffer.from("new"));
  });

  test(`${name}: a name that could leave the directory is a broken assumption`, async (t) => {
    await using files = await make(t.testdir());
    for (const bad of ["", "..", "../x", "a/b", ".hidden", "Capital"]) {
      await t.rejects(files.append(bad, Buffer.from("x")), { code: "assert.broken" }, `append "${bad}"`);
      await t.rejects(files.write(bad, 0, Buffer.from("x")), { code: "assert.broken" }, `write "${bad}"`);
      await t.rejects(files.read(bad, 10), { code: "assert.broken" }, `read "${bad}"`);
      await t.rejects(files.truncate(bad, 0), { code: "assert.broken" }, `truncate "${bad}"`);
    }
  });
}
