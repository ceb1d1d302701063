// An image that was cut into chunks, and slots to install it in.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { chunkImage } from "../../../build/release/chunks.ts";
import { createFileSlots } from "../../../hal/linux/index.ts";
import type { Slots } from "../../../hal/ports.ts";
import { type ChunkIndex, chunkPath, type ChunkRef, type ChunkSizes, readIndex } from "../../../ota/index/format/index.ts";

export interface ChunkedImage {
  readonly image: Buffer;
  readonly index: ChunkIndex;
  readonly store: string;
  /** Path of the .caibx. */
  readonly caibx: string;
  /** Reads straight from the store. */
  readonly source: (ref: ChunkRef) => Promise<Uint8Array>;
}

export const SMALL_CHUNKS: ChunkSizes = { minBytes: 1024, avgBytes: 4096, maxBytes: 16_384 };

export async function chunkedImage(directory: string, image: Buffer, sizes = SMALL_CHUNKS): Promise<ChunkedImage> {
  const store = join(directory, "store");
  const caibx = join(directory, "image.caibx");
  await writeFile(join(directory, "image"), image);
  await chunkImage({ image: join(directory, "image"), index: caibx, store, sizes });
  return {
    image,
    index: readIndex(await readFile(caibx)),
    store,
    caibx,
    source: ({ id }) => readFile(join(store, chunkPath(id))),
  };
}

/** The slots of a machine that runs from slot a. Slot b holds what is left of an older system. */
export async function twoSlots(directory: string): Promise<{ readonly slots: Slots; readonly a: string; readonly b: string }> {
  await mkdir(join(directory, "proc"), { recursive: true });
  await mkdir(join(directory, "slots"), { recursive: true });
  await writeFile(join(directory, "proc/cmdline"), "console=ttyS0 sallyport.slot=a quiet\n");
  const a = join(directory, "slots/a.img");
  const b = join(directory, "slots/b.img");
  await writeFile(a, "the system that runs\n", { mode: 0o600 });
  await writeFile(b, "an older system\n".repeat(1000), { mode: 0o600 });
  return { slots: createFileSlots({ directory: join(directory, "slots"), root: directory, partBytesMax: 67_108_864 }), a, b };
}
