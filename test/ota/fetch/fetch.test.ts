// Fetching chunks from an unreliable repository into the hand-over directory, and from there into a
// slot.
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { zstdCompressSync } from "node:zlib";
import { test } from "tap";
import { Fault } from "../../../hal/fault.ts";
import { linuxHandoverReader, linuxHandoverWriter } from "../../../hal/linux/index.ts";
import { fetchChunks, type ChunksToFetch, type Repository, type FetchRange, windowsOf } from "../../../ota/fetch/index.ts";
import { ATTEMPTS_MAX, RETRY_MS_MAX } from "../../../ota/fetch/attempts.ts";
import { createHandoverSource, openPartIndex, readBack, writeChunks } from "../../../ota/install/index.ts";
import { readIndex, writeIndex } from "../../../ota/index/format/index.ts";
import { createHash } from "node:crypto";
import { chunkedImage, twoSlots } from "../../lab/worlds/chunked.ts";
import { imageOf } from "../../lab/worlds/images.ts";
import { makePki } from "../../lab/counterparts/pki.ts";
import { needs } from "../../lab/runner/needs.ts";
import { clientOf, serveRepository } from "../../lab/counterparts/static-repository.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";

async function job(t: Parameters<typeof temporaryDirectory>[0], change: (get: Repository["get"]) => Repository["get"]) {
  const directory = await temporaryDirectory(t);
  const chunked = await chunkedImage(directory, imageOf(200_000));
  const drop = await linuxHandoverWriter(join(directory, "drop"));
  const get: Repository["get"] = (path) => readFile(join(directory, path));
  const slept: number[] = [];
  const clock = { sleep: async (delayMs: number) => void slept.push(delayMs) };
  const { index } = chunked;
  const work: ChunksToFetch = {
    index,
    window: { from: 0, to: index.count },
    repository: { get: change(get) },
    store: "store",
    drop,
    clock,
    random: () => 0.5,
  };
  return { ...chunked, directory, work, slept, dropped: () => readdir(join(directory, "drop")) };
}

test(
  "[OTA-32] an image passes range by range from the hub over TLS through the hand-over directory into the slot",
  { skip: needs("openssl") },
  async (t) => {
    const directory = await temporaryDirectory(t);
    const pki = makePki(directory);
    const { index, image } = await chunkedImage(directory, imageOf(600_000));
    const repository = clientOf(t, pki, await serveRepository(t, directory, pki.server));
    const { slots, b } = await twoSlots(directory);
    const drop = await linuxHandoverWriter(join(directory, "drop"));
    await using handover = await linuxHandoverReader(join(directory, "drop"));
    const slot = await slots.open("b", "root", index.imageBytes);
    let windows = 0;
    for (const window of windowsOf(index, 100_000)) {
      windows += 1;
      await fetchChunks({
        index,
        window,
        repository,
        store: "store",
        drop,
        clock: { sleep: async () => undefined },
        random: Math.random,
      });
      t.ok(
        (await readdir(join(directory, "drop"))).length <= window.to - window.from,
        "the directory never holds more than a range",
      );
      await writeChunks({ index, source: createHandoverSource(handover), slot }, window.from, window.to);
      await drop.clear();
    }
    await slot.sync();
    await readBack({ index, slot });
    await slot.close();
    t.ok(windows > 5);
    t.ok(image.equals(await readFile(b)));
  },
);

test("ranges follow each other without a gap and keep to their size", async (t) => {
  const refs = [5, 16, 16, 16, 4, 4, 1].map((length, n) => ({ id: String(n).repeat(64), length }));
  const index = readIndex(writeIndex(refs, { minBytes: 4, avgBytes: 8, maxBytes: 16 }));
  t.same(
    [...windowsOf(index, 24)],
    [
      { from: 0, to: 2 },
      { from: 2, to: 3 },
      { from: 3, to: 6 },
      { from: 6, to: 7 },
    ],
  );
  t.same([...windowsOf(index, 1)].length, 7, "at least one chunk each");
  t.same([...windowsOf(readIndex(writeIndex([], { minBytes: 4, avgBytes: 8, maxBytes: 16 })), 1)], []);
});

test("[OTA-31] a bad copy costs another attempt and is never handed over; each chunk is requested once", async (t) => {
  const requests = new Map<string, number>();
  const { work, slept, dropped, index } = await job(t, (get) => async (path, ...more) => {
    const times = (requests.get(path) ?? 0) + 1;
    requests.set(path, times);
    if (times === 1 && requests.size % 3 === 0) return zstdCompressSync(Buffer.from("another chunk"));
    if (times === 1 && requests.size % 3 === 1) throw new Fault("fetch.timeout", "slow");
    return get(path, ...more);
  });
  await fetchChunks(work);
  const ids = new Set(Array.from({ length: index.count }, (_, n) => index.at(n).id));
  t.same(new Set(await dropped()), new Set([...ids].map((id) => `${id}.cacnk`)));
  t.ok(slept.length > 0 && slept.every((delayMs) => delayMs >= 500 && delayMs <= 1000));
});

test("a line that stays dead ends the fetch after growing delays of about ten minutes in all", async (t) => {
  const { work, slept } = await job(t, () => async () => {
    throw new Fault("fetch.unreachable", "nothing listens");
  });
  await t.rejects(fetchChunks({ ...work, window: { from: 0, to: 1 } }), { code: "fetch.unreachable" });
  t.equal(slept.length, ATTEMPTS_MAX - 1);
  t.same(
    slept,
    slept.toSorted((a, b) => a - b),
  );
  t.ok((slept.at(-1) ?? 0) <= RETRY_MS_MAX);
});

test("[OTA-31] [OTA-78] a chunk that stays damaged ends the fetch after minutes, and one that was a page for a minute does not", async (t) => {
  const only: FetchRange = { from: 0, to: 1 };
  const steady = await job(t, () => async () => Buffer.from("no chunk"));
  await t.rejects(fetchChunks({ ...steady.work, window: only }), { code: "chunk.tampered" });
  t.equal(steady.slept.length, ATTEMPTS_MAX - 1);
  for (const random of [0, 0.999]) {
    const { work, slept } = await job(t, (get) => async (path, ...more) => {
      const nowMs = slept.reduce((sum, delayMs) => sum + delayMs, 0);
      return nowMs < 60_000 ? Buffer.from("<html>maintenance</html>") : await get(path, ...more);
    });
    await fetchChunks({ ...work, window: only, random: () => random });
  }
});

test("a chunk that the repository does not have, a wrong certificate or a full disk ends the fetch at once", async (t) => {
  const missing = await job(t, () => async () => undefined);
  await t.rejects(fetchChunks(missing.work), { code: "chunk.missing" });
  const impostor = await job(t, () => async () => {
    throw new Fault("tls.hub-untrusted", "another authority");
  });
  await t.rejects(fetchChunks(impostor.work), { code: "tls.hub-untrusted" });
  const full = await job(t, (get) => get);
  const drop = { ...full.work.drop, put: async () => Promise.reject(new Fault("file.no-space", "full")) };
  await t.rejects(fetchChunks({ ...full.work, drop }), { code: "file.no-space" });
  for (const { slept } of [missing, impostor, full]) t.same(slept, []);
});

test("a cancelled fetch stops, also between attempts", async (t) => {
  const stop = new AbortController();
  const { work } = await job(t, () => async () => {
    stop.abort();
    throw new Fault("fetch.timeout", "slow");
  });
  await t.rejects(fetchChunks({ ...work, signal: stop.signal }), { code: "update.aborted" });
});

test("[OTA-30] an index is opened only as the manifest names it: bytes, hash, size of the image", async (t) => {
  const bytes = writeIndex([{ id: "0".repeat(64), length: 9 }], { minBytes: 4, avgBytes: 8, maxBytes: 16 });
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  const part = { part: "root" as const, bytes: 9, index: { path: "x.caibx", bytes: bytes.byteLength, sha256 } };
  t.equal(openPartIndex(bytes, part).count, 1);
  for (const wrong of [
    { ...part, bytes: 10 },
    { ...part, index: { ...part.index, bytes: 1 } },
    { ...part, index: { ...part.index, sha256: "0".repeat(64) } },
  ])
    t.throws(() => openPartIndex(bytes, wrong), { code: "index.invalid" });
});
