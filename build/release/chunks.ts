// Cutting an image into a store of chunks, with an index. A later release adds only the chunks that
// changed. [OTA-30] [OTA-31]
import { constants as fileConstants } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { constants, zstdCompress, zstdDecompressSync } from "node:zlib";
import { asFault, Fault } from "../../hal/fault.ts";
import {
  CHUNK_BYTES_MAX,
  CHUNK_FILE_BYTES_MAX,
  type ChunkRef,
  chunkId,
  chunkPath,
  type ChunkSizes,
  IMAGE_BYTES_MAX,
  writeIndex,
} from "../../ota/index/format/index.ts";
import { CHUNK_SIZES, firstChunk } from "./chunker.ts";
import { getFile, putFile } from "./files.ts";

const compress = promisify(zstdCompress);

/** Slow to compress, but as fast to decompress as other levels. */
const ZSTD_LEVEL = 15;
/**
 * The largest window of a frame, at any level: devices refuse more. 2^20 covers the largest chunk.
 */
const ZSTD_WINDOW_LOG = Math.log2(CHUNK_BYTES_MAX);

export interface ImageToChunk {
  readonly image: string;
  /** The file of the index, which is replaced as a whole. */
  readonly index: string;
  /** The directory of chunks, made where it is missing. Existing chunks stay. */
  readonly store: string;
  readonly sizes?: ChunkSizes;
}

export interface Chunked {
  readonly imageBytes: number;
  readonly chunks: number;
  /** Chunks that the store did not have, and their size there. */
  readonly added: number;
  readonly addedBytes: number;
}

/**
 * Cuts one image. Memory: one chunk at a time, and 40 bytes of index per chunk.
 * @throws Fault `index.invalid` for an image above {@link IMAGE_BYTES_MAX}; `index.too-large`,
 *   `file.read-failed`, `release.store-failed`.
 */
export async function chunkImage({ image, index, store, sizes = CHUNK_SIZES }: ImageToChunk): Promise<Chunked> {
  await using file = await openImage(image);
  const refs: Pick<ChunkRef, "id" | "length">[] = [];
  let imageBytes = 0;
  let added = 0;
  let addedBytes = 0;
  const window = Buffer.alloc(sizes.maxBytes);
  for (;;) {
    const seen = await fill(file, window, imageBytes);
    if (seen === 0) break;
    const bytes = window.subarray(0, firstChunk(window.subarray(0, seen), sizes));
    const ref = { id: chunkId(bytes), length: bytes.byteLength };
    const stored = await addChunk(store, ref.id, bytes);
    if (stored > 0) added += 1;
    addedBytes += stored;
    refs.push(ref);
    imageBytes += ref.length;
    if (imageBytes > IMAGE_BYTES_MAX) throw tooLarge(image);
  }
  await putFile(index, writeIndex(refs, sizes));
  return { imageBytes, chunks: refs.length, added, addedBytes };
}

/** [STA-32] O_NONBLOCK: a pipe that nobody writes to is not waited for. */
async function openImage(path: string): Promise<FileHandle> {
  try {
    const file = await open(path, fileConstants.O_RDONLY | fileConstants.O_NONBLOCK);
    try {
      const facts = await file.stat();
      if (!facts.isFile()) throw new Fault("file.not-regular", `read the image "${path}": it is not a regular file`);
      if (facts.size > IMAGE_BYTES_MAX) throw tooLarge(path);
      return file;
    } catch (error) {
      await file.close();
      throw error;
    }
  } catch (error) {
    throw asFault(error, "file.read-failed", `read the image "${path}"`);
  }
}

function tooLarge(path: string): Fault {
  return new Fault("index.invalid", `chunk "${path}": it has more than ${IMAGE_BYTES_MAX} bytes`);
}

async function fill(file: FileHandle, window: Buffer, position: number): Promise<number> {
  let filled = 0;
  while (filled < window.byteLength) {
    const { bytesRead } = await file.read(window, filled, window.byteLength - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return filled;
}

/**
 * @returns the stored bytes, or 0 when the store had the chunk. A damaged file of its name is
 *   replaced.
 */
async function addChunk(store: string, id: string, bytes: Uint8Array): Promise<number> {
  const path = join(store, chunkPath(id));
  if (await isStored(path, id, bytes.byteLength)) return 0;
  const encoded = await compress(bytes, {
    pledgedSrcSize: bytes.byteLength,
    params: { [constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL, [constants.ZSTD_c_windowLog]: ZSTD_WINDOW_LOG },
  });
  await putFile(path, encoded);
  return encoded.byteLength;
}

async function isStored(path: string, id: string, length: number): Promise<boolean> {
  const there = await getFile(path, CHUNK_FILE_BYTES_MAX).catch((error: unknown) => {
    // An unreadable file counts as missing: if it is an obstacle, writing reports why.
    if (error instanceof Fault && error.code === "release.store-failed") return undefined;
    throw error;
  });
  if (there === undefined) return false;
  try {
    return chunkId(zstdDecompressSync(there, { maxOutputLength: length })) === id;
  } catch {
    return false; // zlib has many errors for "this is not a chunk"
  }
}
