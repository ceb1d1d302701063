// Disks that are full, read-only or broken: real file systems where root can mount them, simulated
// errors otherwise.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Test, test } from "tap";
import { Fault, type FaultCode } from "../../../../hal/fault.ts";
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

test("zeros are left out where the disk has little space, and where it turns out to have none", async (t) => {
  const scarce: FileOps = { ...linuxOps, freeBytes: async () => 4_000_000 };
  await using careful = await linuxAppendFiles(t.testdir(), scarce);
  t.equal(await careful.write("log", 0, Buffer.from("one"), 1000), 3);
  const unknown: FileOps = { ...linuxOps, freeBytes: async () => Promise.reject(new Fault("file.read-failed", "statfs: EIO")) };
  await using unsure = await linuxAppendFiles(t.testdir(), unknown);
  t.equal(await unsure.write("log", 0, Buffer.from("one"), 1000), 3);
  for (const errno of ["ENOSPC", "EDQUOT"]) {
    await using refused = await linuxAppendFiles(t.testdir(), failing("write", 2, errno));
    t.equal(await refused.write("log", 0, Buffer.from("one"), 10), 13);
    t.equal(await refused.write("log", 3, Buffer.from("two"), 1000), 6, "written without zeros, and the old ones are gone");
    t.same(await refused.read("log", 2000), Buffer.from("onetwo"));
    t.equal(await refused.write("log", 6, Buffer.from("three"), 2), 13);
  }
  await using broken = await linuxAppendFiles(t.testdir(), failing("write", 1, "EIO"));
  await t.rejects(broken.write("log", 0, Buffer.from("one"), 10), { code: "file.write-failed" });
});

test(
  "on a real disk that is full, a write goes on without zeros as long as it fits, and then is file.no-space",
  { skip: needs("root") },
  async (t) => {
    const directory = smallDisk(t);
    // as if there were room, so that the kernel has to refuse
    await using files = await linuxAppendFiles(directory, { ...linuxOps, freeBytes: async () => 1e9 });
    t.equal(await files.write("log", 0, Buffer.alloc(30_000, "a"), 100_000), 30_000);
    t.equal(await files.write("log", 30_000, Buffer.alloc(10_000, "b"), 100_000), 40_000);
    await t.rejects(files.write("log", 40_000, Buffer.alloc(30_000, "c"), 10), { code: "file.no-space" });
    t.same(
      (await files.read("log", 100_000))?.subarray(0, 40_000),
      Buffer.concat([Buffer.alloc(30_000, "a"), Buffer.alloc(10_000, "b")]),
    );
  },
);
