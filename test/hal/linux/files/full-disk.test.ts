// Disks that are full, read-only or broken: real file systems where root can mount them, simulated
// errors otherwise.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Test, test } from "tap";
import type { FaultCode } from "../../../../hal/fault.ts";
import { linuxAppendFiles, linuxFiles } from "../../../../hal/linux/files/index.ts";
import { type FileOps, linuxOps } from "../../../../hal/linux/files/ops.ts";
import { needs } from "../../../lab/runner/needs.ts";

/** A separate file system of 64 KiB, removed after the test. */
function smallDisk(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), "sallyport-disk-"));
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs", directory]);
  t.teardown(() => {
    execFileSync("umount", ["--lazy", directory]);
    rmdirSync(directory);
  });
  return directory;
}

test(
  "[STA-1] a full disk is file.no-space, the old bytes stay complete, and smaller writes still succeed",
  { skip: needs("root") },
  async (t) => {
    const files = await linuxFiles(smallDisk(t));
    await files.put("record", Buffer.alloc(30_000, "a"));
    await t.rejects(files.put("record", Buffer.alloc(60_000, "b")), {
      code: "file.no-space",
      message: /write ".*record": ENOSPC/,
    });
    t.same(await files.get("record", 100_000), Buffer.alloc(30_000, "a"));
    await files.put("record", Buffer.alloc(30_000, "c"));
    t.same(await files.get("record", 100_000), Buffer.alloc(30_000, "c"));
  },
);

test(
  "an append to a full disk is file.no-space; after a truncation appends succeed again",
  { skip: needs("root") },
  async (t) => {
    await using files = await linuxAppendFiles(smallDisk(t));
    await files.append("log", Buffer.alloc(10_000, "a"));
    await t.rejects(files.append("log", Buffer.alloc(100_000, "b")), { code: "file.no-space" });
    const left = await files.read("log", 200_000);
    t.same(
      left?.subarray(0, 10_000),
      Buffer.alloc(10_000, "a"),
      "the earlier bytes are there, then any part of the refused ones",
    );
    await files.truncate("log", 10_000);
    await files.append("log", Buffer.from("c"));
    t.same(await files.read("log", 200_000), Buffer.concat([Buffer.alloc(10_000, "a"), Buffer.from("c")]));
  },
);

test("writing to a read-only disk is file.read-only, but it opens and can be read", { skip: needs("root") }, async (t) => {
  const directory = smallDisk(t);
  const before = await linuxFiles(directory);
  await before.put("record", Buffer.from("kept"));
  await using log = await linuxAppendFiles(directory);
  await log.append("log", Buffer.from("kept"));
  await log[Symbol.asyncDispose]();
  // Left over, and it cannot be removed here
  execFileSync("touch", [join(directory, ".new-record")]);
  execFileSync("mount", ["-o", "remount,ro", directory]);
  const files = await linuxFiles(directory);
  t.same(await files.get("record", 10), Buffer.from("kept"));
  await t.rejects(files.put("record", Buffer.from("new")), { code: "file.read-only" });
  await t.rejects(files.remove("record"), { code: "file.read-only" });
  await using appending = await linuxAppendFiles(directory);
  t.same(await appending.read("log", 10), Buffer.from("kept"));
  await t.rejects(appending.append("log", Buffer.from("new")), { code: "file.read-only" });
  await t.rejects(appending.append("log2", Buffer.from("new")), { code: "file.read-only" });
  await t.rejects(linuxFiles(join(directory, "more")), { code: "file.read-only" });
});

/** The n-th call of an operation fails with `errno`. */
function failing(operation: "open" | "rename" | "unlink" | "sync" | "write", n: number, errno: string): FileOps {
  let calls = 0;
  const fail = (kind: string): void => {
    if (kind === operation && ++calls === n) throw Object.assign(new Error(`${errno}: planned`), { code: errno });
  };
  return {
    ...linuxOps,
    open: async (path, flags, mode) => {
      fail("open");
      const file = await linuxOps.open(path, flags, mode);
      return {
        read: (buffer, offset, length, position) => file.read(buffer, offset, length, position),
        write: async (buffer, offset, length, position) => {
          fail("write");
          return file.write(buffer, offset, length, position);
        },
        sync: async () => {
          fail("sync");
          return file.sync();
        },
        truncate: (length) => file.truncate(length),
        chmod: (mode) => file.chmod(mode),
        stat: () => file.stat(),
        close: () => file.close(),
      };
    },
    rename: async (from, to) => {
      fail("rename");
      return linuxOps.rename(from, to);
    },
    unlink: async (path) => {
      fail("unlink");
      return linuxOps.unlink(path);
    },
  };
}

const CODES: Record<string, FaultCode> = {
  ENOSPC: "file.no-space",
  EDQUOT: "file.no-space",
  EROFS: "file.read-only",
  EACCES: "file.read-only",
  EPERM: "file.read-only",
  EIO: "file.write-failed",
};

test("[STA-1] when any operation of a put fails, the fault has its code and cause, and the old or new bytes are complete", async (t) => {
  for (const [errno, code] of Object.entries(CODES))
    for (const operation of ["open", "rename", "unlink", "sync", "write"] as const)
      for (let n = 1; n < 8; n++) {
        const directory = t.testdir({ sub: {} });
        const files = await linuxFiles(join(directory, "sub"));
        await files.put("record", Buffer.from("old"));
        const outcome = await linuxFiles(join(directory, "sub"), failing(operation, n, errno))
          .then((broken) => broken.put("record", Buffer.from("new")))
          .then(
            () => undefined,
            (fault: unknown) => fault,
          );
        if (outcome === undefined) break; // no n-th call: the next operation
        // Opening the directory is a read; only changes have the codes of writes.
        if (!(operation === "open" && n === 1)) t.match(outcome, { code, cause: { code: errno } }, `${operation} ${n}: ${errno}`);
        t.match(Buffer.from((await files.get("record", 10)) ?? []).toString("latin1"), /^(old|new)$/);
      }
});

test("[STA-1] a failed fsync is not repeated on the same file: the next append opens it again", async (t) => {
  const opened: string[] = [];
  const broken = failing("write", 2, "EIO");
  await using files = await linuxAppendFiles(t.testdir(), {
    ...broken,
    open: (path, flags, mode) => {
      opened.push(path);
      return broken.open(path, flags, mode);
    },
  });
  await files.append("log", Buffer.from("a"));
  await t.rejects(files.append("log", Buffer.from("b")), { code: "file.write-failed" });
  const before = opened.length;
  await files.append("log", Buffer.from("c"));
  t.ok(opened.length > before);
  const afterwards = opened.length;
  await files.append("log", Buffer.from("d"));
  t.equal(opened.length, afterwards, "and then keeps it open");
  t.same(await files.read("log", 10), Buffer.from("acd"));
});
