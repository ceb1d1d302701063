// Durable writes of single files, as the hub and the release tool use them.
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "tap";
import {
  copyDurably,
  createDurably,
  digestFile,
  type FileOps,
  linuxOps,
  makeDirectory,
  readContent,
  settleDirectory,
  writeDurably,
} from "../../../../hal/linux/files/index.ts";

const modeOf = (path: string): number => statSync(path).mode & 0o7777;

test("[STA-1] a durable write makes its directory, and gives the file exactly its mode", async (t) => {
  const before = process.umask(0o077);
  t.teardown(() => process.umask(before));
  const directory = join(t.testdir(), "a/b");
  await writeDurably(join(directory, "public"), Buffer.from("one"));
  await writeDurably(join(directory, "private"), Buffer.from("two"), { mode: 0o600 });
  await copyDurably(join(directory, "private"), join(directory, "copy"));
  t.same(readdirSync(directory).sort(), ["copy", "private", "public"]);
  t.equal(modeOf(join(directory, "public")), 0o644);
  t.equal(modeOf(join(directory, "private")), 0o600);
  t.equal(modeOf(join(directory, "copy")), 0o644);
  t.equal(readFileSync(join(directory, "copy"), "utf8"), "two");
  await makeDirectory(join(directory, "c"), { mode: 0o700 });
  t.equal(modeOf(join(directory, "c")), 0o700);
});

test("[STA-1] a copy of more than one block is complete", async (t) => {
  const directory = t.testdir();
  const bytes = Buffer.alloc(3_000_001, "0123456789");
  writeFileSync(join(directory, "large"), bytes);
  await copyDurably(join(directory, "large"), join(directory, "copy"));
  t.ok(readFileSync(join(directory, "copy")).equals(bytes));
  t.same(await digestFile(join(directory, "copy")), await digestFile(join(directory, "large")));
});

test("[STA-1] a failed write leaves the old file and nothing beside it", async (t) => {
  const directory = t.testdir({ file: "old" });
  const failing: FileOps = {
    ...linuxOps,
    rename: () => Promise.reject(Object.assign(new Error("EIO: planned"), { code: "EIO" })),
  };
  const path = join(directory, "file");
  await t.rejects(writeDurably(path, Buffer.from("new"), { ops: failing }), { code: "file.write-failed", message: /EIO/ });
  await t.rejects(copyDurably(join(directory, "none"), path), { code: "file.write-failed", message: /ENOENT/ });
  t.same(readdirSync(directory), ["file"]);
  t.equal(readFileSync(path, "utf8"), "old");
});

test("a new file is created once, and an existing one is never replaced", async (t) => {
  const path = join(t.testdir(), "key");
  await createDurably(path, Buffer.from("first"), { mode: 0o600 });
  t.equal(modeOf(path), 0o600);
  await t.rejects(createDurably(path, Buffer.from("second")), { code: "file.write-failed", cause: { code: "EEXIST" } });
  t.equal(readFileSync(path, "utf8"), "first");
});

test("[STA-1] what a crash left beside a file is removed when the directory is settled", async (t) => {
  const directory = t.testdir({ ".new-4c5e": "half", ".hidden": "other", file: "x" });
  await settleDirectory(directory);
  t.same(readdirSync(directory).sort(), [".hidden", "file"]);
});

test("[STA-2] content is read within a bound, with any owner and mode, and a missing file is undefined", async (t) => {
  const directory = t.testdir({ file: "12345" });
  const path = join(directory, "file");
  chmodSync(path, 0o666);
  t.same(await readContent(path, 5), Buffer.from("12345"));
  await t.rejects(readContent(path, 4), { code: "file.too-large" });
  t.equal(await readContent(join(directory, "none"), 5), undefined);
  t.equal(await digestFile(join(directory, "none")), undefined);
  mkdirSync(join(directory, "folder"));
  await t.rejects(readContent(join(directory, "folder"), 4096), { code: "file.not-regular" });
});
