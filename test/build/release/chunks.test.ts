// Cutting images into chunks: they make up the whole image, and a small change changes few of them.
import { copyFile, readdir, readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { CHUNK_SIZES, firstChunk } from "../../../build/release/chunker.ts";
import { chunkImage } from "../../../build/release/chunks.ts";
import { readIndex } from "../../../ota/index/format/index.ts";
import { imageOf } from "../../lab/worlds/images.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";

test("[OTA-30] chunks are within their bounds and make up the whole image", async (t) => {
  const directory = await temporaryDirectory(t);
  const places = { image: join(directory, "image"), index: join(directory, "image.caibx"), store: join(directory, "store") };
  const image = imageOf(2_000_000);
  await writeFile(places.image, image);
  const made = await chunkImage(places);
  const index = readIndex(await readFile(places.index));
  t.equal(index.imageBytes, image.byteLength);
  t.equal(made.chunks, index.count);
  t.equal(made.added, (await readdir(places.store, { recursive: true })).filter((name) => name.endsWith(".cacnk")).length);
  const again = await chunkImage(places);
  t.match(again, { added: 0, addedBytes: 0, imageBytes: image.byteLength });
  const [one = "", other = ""] = (await readdir(places.store, { recursive: true })).filter((name) => name.endsWith(".cacnk"));
  await copyFile(join(places.store, other), join(places.store, one));
  await truncate(join(places.store, other), 0);
  t.match(await chunkImage(places), { added: 2 }, "a torn chunk and one with other content are written again");
});

test("bytes inserted at the front change only chunks at the front", async (t) => {
  const directory = await temporaryDirectory(t);
  const places = { image: join(directory, "image"), index: join(directory, "image.caibx"), store: join(directory, "store") };
  const image = imageOf(3_000_000);
  await writeFile(places.image, image);
  await chunkImage(places);
  await writeFile(places.image, Buffer.concat([Buffer.from("a line more\n"), image]));
  const { chunks, added } = await chunkImage(places);
  t.ok(added <= 3 && added < chunks / 5, `${added} of ${chunks} chunks are new`);
});

test("a cut depends only on the bytes before it, and lies within the bounds", async (t) => {
  const image = imageOf(1_000_000);
  const cut = firstChunk(image, CHUNK_SIZES);
  t.ok(cut >= CHUNK_SIZES.minBytes && cut <= CHUNK_SIZES.maxBytes);
  t.equal(firstChunk(image.subarray(0, cut), CHUNK_SIZES), cut);
  t.equal(firstChunk(Buffer.concat([image.subarray(0, cut), Buffer.alloc(9)]), CHUNK_SIZES), cut);
  t.equal(firstChunk(Buffer.alloc(1_000_000), CHUNK_SIZES), CHUNK_SIZES.maxBytes, "zeros have no cut");
  t.equal(firstChunk(image, { minBytes: 4096, avgBytes: 4096, maxBytes: 4096 }), 4096);
});

test("the cuts are those of all earlier releases: the chunks of a fixed image", async (t) => {
  const image = imageOf(600_000, "pinned");
  const lengths: number[] = [];
  for (let at = 0; at < image.byteLength; at += lengths.at(-1) ?? 1) lengths.push(firstChunk(image.subarray(at), CHUNK_SIZES));
  t.same(lengths, [213_827, 134_377, 251_796]);
});
