// What a power cut leaves on a disk: the control for every test that cuts a virtual gateway's
// power.
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { startProgram } from "../runner/process.ts";
import { temporaryDirectory } from "../runner/temporary.ts";
import { type PowerCutDisk, openPowerCutDisk, SECTOR_BYTES } from "./disk.ts";
import { type NbdServer, serveNbd } from "./nbd.ts";
import { connectNbd } from "./nbd-client.ts";
import { needs } from "../runner/needs.ts";
import type { TestContext } from "../runner/context.ts";

const DISK_BYTES = 1024 * 1024;
const BLOCK_BYTES = 4096;

async function rig(t: TestContext): Promise<{ disk: PowerCutDisk; server: NbdServer; base: string; directory: string }> {
  const directory = await temporaryDirectory(t);
  const base = join(directory, "base.img");
  await writeFile(base, Buffer.alloc(DISK_BYTES, "base"));
  const disk = openPowerCutDisk(base, directory);
  const server = await serveNbd(disk, join(directory, "nbd"));
  t.teardown(async () => {
    await server.stop();
    disk.close();
  });
  return { disk, server, base, directory };
}

const block = (fill: number): Buffer => Buffer.alloc(BLOCK_BYTES, fill);
const old = Buffer.alloc(BLOCK_BYTES, "base");

test("a write that arrives in several pieces is carried out", async (t) => {
  const { server } = await rig(t);
  const client = await connectNbd(server.socketPath);
  const whole = Buffer.alloc(DISK_BYTES, 7);
  await client.write(0, whole);
  t.ok((await client.read(0, DISK_BYTES)).equals(whole));
});

test("an unflushed write is visible until the cut and lost by it", async (t) => {
  const { server } = await rig(t);
  const client = await connectNbd(server.socketPath);
  t.equal(client.bytes, DISK_BYTES);
  await client.write(8192, block(1));
  t.same(await client.read(8192, BLOCK_BYTES), block(1));
  t.same(server.cut({ kind: "drop" }), { kept: 0, torn: 0, dropped: 1 });
  await t.rejects(client.read(0, 512), { code: "protocol.closed" }, "the cut ends the connection");
  const again = await connectNbd(server.socketPath);
  t.same(await again.read(8192, BLOCK_BYTES), old);
});

test("a flush keeps what was written before it, and only that", async (t) => {
  const { server } = await rig(t);
  const client = await connectNbd(server.socketPath);
  await client.write(0, block(1));
  await client.flush();
  await client.write(0, block(2));
  await client.write(BLOCK_BYTES, block(3));
  server.cut({ kind: "drop" });
  const again = await connectNbd(server.socketPath);
  t.same(await again.read(0, 2 * BLOCK_BYTES), Buffer.concat([block(1), old]));
});

test("a forced write is kept; its neighbours and what it overtook are not", async (t) => {
  const { server, disk } = await rig(t);
  const client = await connectNbd(server.socketPath);
  await client.write(0, Buffer.concat([block(1), block(1)]));
  await client.write(0, block(2), true);
  await client.write(2 * BLOCK_BYTES, block(3));
  t.same(await client.read(0, 2 * BLOCK_BYTES), Buffer.concat([block(2), block(1)]));
  server.cut({ kind: "drop" });
  t.same(disk.read(0, 3 * BLOCK_BYTES), Buffer.concat([block(2), old, old]));

  disk.write(0, Buffer.concat([block(4), block(4)]));
  disk.write(0, block(5), true);
  disk.flush();
  t.same(disk.read(0, 2 * BLOCK_BYTES), Buffer.concat([block(5), block(4)]), "an older write does not come after it");
});

test("a torn write keeps whole sectors, the same ones for the same seed, and each fate occurs", async (t) => {
  const { disk } = await rig(t);
  const lose = (seed: number): Buffer => {
    disk.write(0, Buffer.alloc(DISK_BYTES, "base"));
    disk.flush();
    for (let at = 0; at < DISK_BYTES; at += BLOCK_BYTES) disk.write(at, block(1));
    const report = disk.cut({ kind: "tear", seed });
    t.equal(report.kept + report.torn + report.dropped, DISK_BYTES / BLOCK_BYTES);
    t.ok(report.kept > 0 && report.torn > 0 && report.dropped > 0);
    return disk.read(0, DISK_BYTES);
  };
  const first = lose(1);
  t.ok(lose(1).equals(first));
  t.notOk(lose(2).equals(first));
  const blocks = Array.from({ length: DISK_BYTES / BLOCK_BYTES }, (_, index) =>
    first.subarray(index * BLOCK_BYTES, (index + 1) * BLOCK_BYTES),
  );
  t.ok(
    blocks.some((found) => !found.equals(block(1)) && !found.equals(old)),
    "a write that arrived in part",
  );
  const sector = (fill: number): Buffer => Buffer.alloc(SECTOR_BYTES, fill);
  for (let at = 0; at < DISK_BYTES; at += SECTOR_BYTES) {
    const found = first.subarray(at, at + SECTOR_BYTES);
    if (!found.equals(sector(1)) && !found.equals(old.subarray(0, SECTOR_BYTES))) t.fail(`half a sector at ${at}`);
  }
});

test("a cut at an unanswered flush may lose what the flush should keep", async (t) => {
  const { server, disk } = await rig(t);
  const client = await connectNbd(server.socketPath);
  disk.watch(({ kind, content }) => {
    if (kind === "flush") server.cut({ kind: "drop" });
    else t.same(content, block(1));
  });
  await client.write(0, block(1));
  await t.rejects(client.flush(), { code: "protocol.closed" });
  t.same(disk.read(0, BLOCK_BYTES), old);
});

test("a cut at an unanswered forced write may lose it", async (t) => {
  const { server, disk } = await rig(t);
  const client = await connectNbd(server.socketPath);
  const unwatch = disk.watch(({ kind }) => {
    if (kind === "forced-write") server.cut({ kind: "drop" });
  });
  await t.rejects(client.write(0, block(1), true), { code: "protocol.closed" });
  t.same(disk.read(0, BLOCK_BYTES), old);
  unwatch();
  const again = await connectNbd(server.socketPath);
  await again.write(0, block(1), true);
  server.cut({ kind: "drop" });
  t.same(disk.read(0, BLOCK_BYTES), block(1));
});

test("the cache is bounded: above its bound the oldest writes become durable without a flush", async (t) => {
  const { disk } = await rig(t);
  for (let round = 0; round < 65; round += 1) disk.write(0, Buffer.alloc(DISK_BYTES, round));
  t.same(disk.read(0, BLOCK_BYTES), block(64));
  disk.cut({ kind: "drop" });
  t.same(disk.read(0, BLOCK_BYTES), block(0));
});

test("the base image never changes, and the durable content can be saved as an image", async (t) => {
  const { disk, base, directory } = await rig(t);
  disk.write(BLOCK_BYTES, block(7));
  disk.flush();
  disk.write(2 * BLOCK_BYTES, block(8));
  t.same(disk.durable(0, 3 * BLOCK_BYTES), Buffer.concat([old, block(7), old]));
  const saved = join(directory, "saved.img");
  disk.saveTo(saved);
  t.ok((await readFile(base)).equals(Buffer.alloc(DISK_BYTES, "base")));
  t.same((await readFile(saved)).subarray(0, 3 * BLOCK_BYTES), Buffer.concat([old, block(7), old]));
});

test("stop throws the server's first fault", async (t) => {
  const directory = await temporaryDirectory(t);
  const base = join(directory, "base.img");
  await writeFile(base, Buffer.alloc(DISK_BYTES));
  const disk = openPowerCutDisk(base, directory);
  t.teardown(() => disk.close());
  const server = await serveNbd(disk, join(directory, "nbd"));
  const wrong = [new RangeError("no such partition"), new TypeError("only what follows from it")];
  disk.watch(() => {
    const next = wrong.shift();
    if (next !== undefined) throw next;
  });
  for (const offset of [0, BLOCK_BYTES]) {
    const client = await connectNbd(server.socketPath);
    await t.rejects(client.write(offset, block(1)), { code: "protocol.closed" }, "which is all that the machine sees");
  }
  t.match((await server.broken).message, "no such partition");
  await t.rejects(server.stop(), { code: "assert.broken", cause: { message: "no such partition" } });
});

test("a missing disk is a fault that names it", async (t) => {
  const directory = await temporaryDirectory(t);
  const missing = join(directory, "none.img");
  t.throws(() => openPowerCutDisk(missing, directory), { code: "file.read-failed", message: missing });
});

test("a request outside the disk or of half a sector is refused, and the connection lives", async (t) => {
  const { server } = await rig(t);
  const client = await connectNbd(server.socketPath);
  await t.rejects(client.read(DISK_BYTES, 512), { code: "protocol.invalid" });
  await t.rejects(client.write(100, Buffer.alloc(512)), { code: "protocol.invalid" });
  await t.rejects(client.write(0, Buffer.alloc(100)), { code: "protocol.invalid" });
  t.same(await client.read(0, BLOCK_BYTES), old);
});

test(
  "with QEMU's own block layer, what it flushed or forced stays and the rest is lost",
  { skip: needs("qemu-io") },
  async (t) => {
    const { server, disk } = await rig(t);
    const commands = ["write -P 1 0 4096", "flush", "write -P 2 4096 4096", "write -f -P 3 8192 4096", "write -P 4 12288 4096"];
    disk.watch(({ offset }) => {
      // Before its end, because it flushes when it closes.
      if (offset === 12_288) server.cut({ kind: "drop" });
    });
    const io = startProgram({
      name: "qemu-io",
      command: "qemu-io",
      args: [
        "-t",
        "writeback",
        "-f",
        "raw",
        ...commands.flatMap((command) => ["-c", command]),
        `nbd+unix:///?socket=${server.socketPath}`,
      ],
    });
    await io.ended;
    t.match(io.lines.join("\n"), /write failed/u);
    t.same(disk.read(0, 4 * BLOCK_BYTES), Buffer.concat([block(1), old, block(3), old]));
  },
);
