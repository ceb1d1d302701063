// Our index and chunks against casync's own tool, in both directions.
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { chunkImage } from "../../../build/release/chunks.ts";
import { verifyChunk } from "../../../ota/index/index.ts";
import { type ChunkIndex, chunkPath, readIndex } from "../../../ota/index/format/index.ts";
import { casyncExtract, casyncMake } from "../../lab/counterparts/casync.ts";
import { imageOf } from "../../lab/worlds/images.ts";
import { needs } from "../../lab/runner/needs.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";

const SIZES: readonly number[] = [1, 16_383, 262_145, 3_000_001];

async function assembled(index: ChunkIndex, store: string): Promise<Buffer> {
  const image = Buffer.alloc(index.imageBytes);
  for (let n = 0; n < index.count; n++) {
    const ref = index.at(n);
    image.set(await verifyChunk(await readFile(join(store, chunkPath(ref.id))), ref), ref.offset);
  }
  return image;
}

test("[OTA-30] [OTA-31] our reader accepts what casync makes", { skip: needs("casync") }, async (t) => {
  const directory = await temporaryDirectory(t);
  for (const bytes of SIZES) {
    const image = join(directory, "image");
    const store = join(directory, `store-${bytes}`);
    const caibx = join(directory, "image.caibx");
    await writeFile(image, imageOf(bytes));
    await casyncMake(caibx, store, image);
    t.ok(imageOf(bytes).equals(await assembled(readIndex(await readFile(caibx)), store)), `${bytes} bytes`);
  }
});

test("[OTA-30] [OTA-31] casync extracts what our release tool makes", { skip: needs("casync") }, async (t) => {
  const directory = await temporaryDirectory(t);
  for (const bytes of SIZES) {
    const places = {
      image: join(directory, "image"),
      store: join(directory, `store-${bytes}`),
      index: join(directory, "image.caibx"),
    };
    const out = join(directory, `out-${bytes}`);
    await writeFile(places.image, imageOf(bytes));
    await chunkImage(places);
    await casyncExtract(places.index, places.store, out);
    t.ok(imageOf(bytes).equals(await readFile(out)), `${bytes} bytes`);
  }
});
