// Taking files from a user who may be an attacker.
import { execFileSync } from "node:child_process";
import { appendFile, link, mkdir, readdir, rename, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { once } from "node:events";
import { join } from "node:path";
import { test } from "tap";
import { linuxHandoverReader, linuxHandoverWriter } from "../../../../hal/linux/index.ts";
import { needs } from "../../../lab/runner/needs.ts";
import { temporaryDirectory } from "../../../lab/runner/temporary.ts";

const MAX = 1000;

test("[OTA-32] a file that was left can be taken, any number of times, until it is removed", async (t) => {
  const directory = join(await temporaryDirectory(t), "drop");
  const drop = await linuxHandoverWriter(directory);
  await using handover = await linuxHandoverReader(directory);
  await drop.put("chunk-1", Buffer.from("one"));
  await drop.put("chunk-1", Buffer.from("two"));
  for (const _ of [1, 2]) t.same(await handover.take("chunk-1", MAX), Buffer.from("two"));
  t.same(await readdir(directory), ["chunk-1"], "no temporary file remains");
  await drop.remove("chunk-1");
  await drop.remove("chunk-1");
  t.equal(await handover.take("chunk-1", MAX), undefined);
});

test("[OTA-32] clear removes files and leftovers, and leaves what is not a file", async (t) => {
  const directory = join(await temporaryDirectory(t), "drop");
  const drop = await linuxHandoverWriter(directory);
  for (const name of ["a", ".new-b", "c"]) await writeFile(join(directory, name), "x");
  await mkdir(join(directory, "folder"));
  await drop.clear();
  t.same(await readdir(directory), ["folder"]);
});

test("[OTA-32] blocking calls return the same files and refuse the same ones", async (t) => {
  const directory = await temporaryDirectory(t);
  await using handover = await linuxHandoverReader(directory, { blocking: true });
  await writeFile(join(directory, "exact"), Buffer.alloc(MAX, 7));
  await writeFile(join(directory, "above"), Buffer.alloc(MAX + 1));
  await writeFile(join(directory, "empty"), "");
  await symlink("exact", join(directory, "link"));
  t.same(await handover.take("exact", MAX), Buffer.alloc(MAX, 7));
  t.same(await handover.take("empty", MAX), Buffer.alloc(0));
  t.equal(await handover.take("missing", MAX), undefined);
  await t.rejects(handover.take("above", MAX), { code: "file.too-large" });
  await t.rejects(handover.take("link", MAX), { code: "file.not-regular" });
  await t.rejects(handover.take("../exact", MAX), { code: "file.read-failed" });
});

test("[OTA-32] a link is not followed, wherever it leads", async (t) => {
  const directory = await temporaryDirectory(t);
  await using handover = await linuxHandoverReader(directory);
  await writeFile(join(directory, "real"), "secret");
  await symlink("real", join(directory, "inside"));
  await symlink("/etc/passwd", join(directory, "outside"));
  await symlink("nowhere", join(directory, "broken"));
  for (const name of ["inside", "outside", "broken"])
    await t.rejects(
      handover.take(name, MAX),
      {
        code: "file.not-regular",
        message: new RegExp(`^take "${name}": it is a link, and not a regular file; move it away`, "u"),
      },
      name,
    );
});

test("[OTA-32] a file with more than one link is refused: it may be another user's", async (t) => {
  const directory = await temporaryDirectory(t);
  await using handover = await linuxHandoverReader(directory);
  await writeFile(join(directory, "real"), "content");
  await link(join(directory, "real"), join(directory, "second"));
  for (const name of ["real", "second"])
    await t.rejects(handover.take(name, MAX), { code: "file.not-regular", message: /2 links/u }, name);
  await rm(join(directory, "real"));
  t.same(await handover.take("second", MAX), Buffer.from("content"), "one link again");
});

test("[OTA-32] a pipe, a socket, a directory and a device are refused, and no call waits for them", async (t) => {
  const directory = await temporaryDirectory(t);
  await using handover = await linuxHandoverReader(directory);
  await using blocking = await linuxHandoverReader(directory, { blocking: true });
  execFileSync("mkfifo", [join(directory, "pipe")]);
  await mkdir(join(directory, "folder"));
  const server = createServer().listen(join(directory, "socket"));
  await once(server, "listening");
  t.teardown(() => server.close());
  for (const name of ["pipe", "folder", "socket"])
    for (const each of [handover, blocking]) await t.rejects(each.take(name, MAX), { code: "file.not-regular" }, name);
});

test("[OTA-32] a device is refused", { skip: needs("root") }, async (t) => {
  const directory = await temporaryDirectory(t);
  await using handover = await linuxHandoverReader(directory);
  try {
    execFileSync("mknod", [join(directory, "zero"), "c", "1", "5"], { stdio: "ignore" });
  } catch {
    t.comment("no device nodes here");
    return;
  }
  await t.rejects(handover.take("zero", MAX), { code: /file\.(not-regular|read-failed)/ });
});

test("[OTA-32] a file above the bound is refused, sparse or not, and none of it is read", async (t) => {
  const directory = await temporaryDirectory(t);
  await using handover = await linuxHandoverReader(directory);
  await writeFile(join(directory, "exact"), Buffer.alloc(MAX));
  await writeFile(join(directory, "above"), Buffer.alloc(MAX + 1));
  await writeFile(join(directory, "sparse"), "");
  await truncate(join(directory, "sparse"), 1_099_511_627_776);
  t.equal((await handover.take("exact", MAX))?.byteLength, MAX);
  await t.rejects(handover.take("above", MAX), { code: "file.too-large" });
  await t.rejects(handover.take("sparse", MAX), { code: "file.too-large" });
});

test("[OTA-32] a name that is not a single component of lower-case letters is never looked up", async (t) => {
  const directory = await temporaryDirectory(t);
  await writeFile(join(directory, "outside"), "x");
  await mkdir(join(directory, "drop"));
  await using handover = await linuxHandoverReader(join(directory, "drop"));
  for (const name of ["../outside", "..", ".", "", "/etc/passwd", "a/b", "a\0b", ".hidden", "Ä", "a".repeat(300)])
    await t.rejects(handover.take(name, MAX), { code: "file.read-failed" }, JSON.stringify(name));
});

test("[OTA-32] a directory that is later replaced by a link leads nowhere: the one opened at the start is used", async (t) => {
  const directory = await temporaryDirectory(t);
  const place = join(directory, "drop");
  await mkdir(place);
  await mkdir(join(directory, "elsewhere"));
  await writeFile(join(place, "chunk"), "right");
  await writeFile(join(directory, "elsewhere/chunk"), "wrong");
  await using handover = await linuxHandoverReader(place);
  await rename(place, join(directory, "moved"));
  await symlink(join(directory, "elsewhere"), place);
  t.same(await handover.take("chunk", MAX), Buffer.from("right"));
  await t.rejects(linuxHandoverReader(place), { code: "file.not-regular" }, "and a link is refused at the start");
});

test("[OTA-32] files that are replaced, grown and cut while they are taken give one whole buffer or a fault, never a mix past the bound", async (t) => {
  const directory = await temporaryDirectory(t);
  await using handover = await linuxHandoverReader(directory);
  const place = join(directory, "chunk");
  const over = new AbortController();
  const attack = (async () => {
    for (let n = 0; !over.signal.aborted; n++) {
      await writeFile(`${place}.next`, Buffer.alloc(n % 2 === 0 ? 400 : 900, n % 256));
      await rename(`${place}.next`, place).catch(() => undefined);
      if (n % 3 === 0) await appendFile(place, Buffer.alloc(5000)).catch(() => undefined);
      if (n % 5 === 0) await truncate(place, 10).catch(() => undefined);
      if (n % 7 === 0) {
        await rm(place, { force: true });
        await symlink("/etc/passwd", place);
      }
    }
  })();
  for (let n = 0; n < 300; n++) {
    const taken = await handover.take("chunk", MAX).catch((error: unknown) => error);
    if (taken instanceof Uint8Array) t.ok(taken.byteLength <= MAX && !Buffer.from(taken).includes("root:"));
    else if (taken !== undefined) t.match(taken, { name: "Fault", code: /^file\./ });
  }
  over.abort();
  await attack;
});
