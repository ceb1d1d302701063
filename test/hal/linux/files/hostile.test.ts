// Files and directories that another user may have prepared.
import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, linkSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Test, test } from "tap";
import { linuxAppendFiles, linuxFiles } from "../../../../hal/linux/files/index.ts";
import { type FileOps, linuxOps } from "../../../../hal/linux/files/ops.ts";
import type { FaultCode } from "../../../../hal/fault.ts";
import { needs } from "../../../lab/runner/needs.ts";

const NOBODY = 65534;

/** Both drivers read alike, and an append checks the file that it opens as a read does. */
async function refused(t: Test, directory: string, name: string, code: FaultCode): Promise<void> {
  await t.rejects((await linuxFiles(directory)).get(name, 100), { code }, `get "${name}"`);
  await using files = await linuxAppendFiles(directory);
  await t.rejects(files.read(name, 100), { code }, `read "${name}"`);
  await t.rejects(files.append(name, Buffer.from("x")), `append to "${name}"`);
}

test("[STA-2] a link is followed neither by a read nor by an append, and a put replaces it", async (t) => {
  const directory = t.testdir({ target: "precious" });
  symlinkSync("target", join(directory, "link"));
  symlinkSync("nowhere", join(directory, "dangling"));
  await refused(t, directory, "link", "file.not-regular");
  await refused(t, directory, "dangling", "file.not-regular");
  const files = await linuxFiles(directory);
  await files.put("link", Buffer.from("own"));
  t.same(await files.get("link", 100), Buffer.from("own"));
  t.equal(readFileSync(join(directory, "target"), "latin1"), "precious");
});

test("[STA-2] a temporary name that is a link is replaced, not written through", async (t) => {
  const directory = t.testdir({ target: "precious" });
  const files = await linuxFiles(directory);
  symlinkSync("target", join(directory, ".new-record"));
  await files.put("record", Buffer.from("own"));
  t.equal(readFileSync(join(directory, "target"), "latin1"), "precious");
  t.same(await files.get("record", 100), Buffer.from("own"));
});

test("[STA-2] a pipe, a socket and a directory are refused without waiting for them", async (t) => {
  // A socket's path has at most 107 bytes
  const directory = mkdtempSync(join(tmpdir(), "sallyport-"));
  t.teardown(() => rmSync(directory, { recursive: true }));
  execFileSync("mkfifo", ["-m", "600", join(directory, "pipe")]);
  mkdirSync(join(directory, "folder"));
  const server = createServer().listen(join(directory, "socket"));
  t.teardown(() => server.close());
  await new Promise((resolve) => server.once("listening", resolve));
  for (const name of ["pipe", "folder", "socket"]) await refused(t, directory, name, "file.not-regular");
});

test("[STA-2] a file that others may write is refused", async (t) => {
  const directory = t.testdir({ record: "x" });
  for (const mode of [0o622, 0o620, 0o602, 0o777]) {
    chmodSync(join(directory, "record"), mode);
    await refused(t, directory, "record", "file.untrusted-owner");
  }
  chmodSync(join(directory, "record"), 0o644);
  t.same(await (await linuxFiles(directory)).get("record", 1), Buffer.from("x"));
});

test("[STA-2] a file that another user owns is refused, whatever its mode", { skip: needs("root") }, async (t) => {
  const directory = t.testdir({ record: "x" });
  chmodSync(join(directory, "record"), 0o600);
  chownSync(join(directory, "record"), NOBODY, NOBODY);
  await refused(t, directory, "record", "file.untrusted-owner");
});

test("[STA-2] a huge file is refused before it is read, and one that is larger than it claims, while it is read", async (t) => {
  const directory = t.testdir();
  execFileSync("sh", ["-c", 'umask 077 && truncate -s 1T "$1"', "sh", join(directory, "huge")]);
  await t.rejects((await linuxFiles(directory)).get("huge", 100), { code: "file.too-large" });
  const lying: FileOps = {
    ...linuxOps,
    open: async (path, flags, mode) => {
      const file = await linuxOps.open(path, flags, mode);
      const facts = await file.stat();
      return Object.assign(file, { stat: async () => Object.assign(facts, { size: 0 }) });
    },
  };
  await t.rejects((await linuxFiles(directory, lying)).get("huge", 100), { code: "file.too-large" });
});

test("[STA-2] a directory that others may write, and a file in its place, are refused", async (t) => {
  const directory = t.testdir({ file: "x", shared: {} });
  chmodSync(join(directory, "file"), 0o600);
  for (const mode of [0o777, 0o1777, 0o770]) {
    chmodSync(join(directory, "shared"), mode);
    await t.rejects(linuxFiles(join(directory, "shared")), { code: "file.untrusted-owner" });
    await t.rejects(linuxAppendFiles(join(directory, "shared")), { code: "file.untrusted-owner" });
  }
  await t.rejects(linuxFiles(join(directory, "file")), { code: "file.not-regular" });
});

test("[STA-2] a directory of another user is refused", { skip: needs("root") }, async (t) => {
  const directory = t.testdir({ theirs: {} });
  chownSync(join(directory, "theirs"), NOBODY, NOBODY);
  await t.rejects(linuxFiles(join(directory, "theirs")), { code: "file.untrusted-owner" });
});

test("new directories are 0700 and new files 0600, with any umask", async (t) => {
  const before = process.umask(0);
  t.teardown(() => process.umask(before));
  const directory = join(t.testdir(), "var/lib/state");
  const files = await linuxFiles(directory);
  await files.put("record", Buffer.from("x"));
  await using appending = await linuxAppendFiles(directory);
  await appending.append("log", Buffer.from("x"));
  t.equal(statSync(directory).mode & 0o777, 0o700);
  t.equal(statSync(join(directory, "record")).mode & 0o777, 0o600);
  t.equal(statSync(join(directory, "log")).mode & 0o777, 0o600);
});

test("names of other programs are neither listed nor removed", async (t) => {
  const directory = t.testdir({ ".lock": "1", "Other File": "x", log: "x" });
  linkSync(join(directory, "log"), join(directory, "log2"));
  chmodSync(join(directory, "log"), 0o600);
  await linuxFiles(directory);
  await using files = await linuxAppendFiles(directory);
  t.strictSame(await files.list(), ["log", "log2"]);
  t.equal(readFileSync(join(directory, ".lock"), "latin1"), "1");
});

test("[STA-4] a directory in a file's place is set aside, by a write, by a removal, and where a temporary file would be", async (t) => {
  const directory = t.testdir({ a: { stranger: "kept" }, b: { stranger: "kept" }, ".new-c": { stranger: "kept" } });
  const files = await linuxFiles(directory);
  await files.put("a", Buffer.from("mine"));
  t.equal(Buffer.from((await files.get("a", 10)) ?? []).toString(), "mine");
  await files.remove("b");
  t.equal(await files.get("b", 10), undefined);
  await files.put("c", Buffer.from("mine"));
  for (const name of [".aside-a", ".aside-b", ".aside-.new-c"])
    t.equal(readFileSync(join(directory, name, "stranger"), "latin1"), "kept", name);
});
