// casync's index of a blob (.caibx): which chunks make an image, and in which order. Layout:
// caformat.h of casync 2, CaFormatIndex and CaFormatTable. [OTA-30]
// - 48 bytes: size = 48, type, feature flags, chunk size min, avg, max
// - 16 bytes, the table: size = 2^64 - 1, type
// - 40 bytes for each chunk: its end in the image, its id
// - 40 bytes, the tail: 0, 0, 48, bytes from the table on, marker
//
// All integers have 64 bits, little-endian. The bytes of the blob are kept and read in place, 40
// bytes a chunk; an object is made only when a chunk is asked for.
import { Fault } from "../../../hal/fault.ts";
import { type ChunkId, isChunkId } from "./chunk.ts";
import { CHUNK_BYTES_MAX, IMAGE_BYTES_MAX, INDEX_BYTES_MAX } from "./limits.ts";

const INDEX_TYPE = 0x96824d9c7b129ff9n;
const TABLE_TYPE = 0xe75b9e112f17417dn;
const TAIL_MARKER = 0x4b4f050e5549ecd1n;
const UNKNOWN_SIZE = 0xffff_ffff_ffff_ffffn;
const HEAD_BYTES = 48;
const TABLE_HEAD_BYTES = 16;
const ITEM_BYTES = 40;
const ID_BYTES = 32;
const ITEMS_AT = HEAD_BYTES + TABLE_HEAD_BYTES;

/** Ids are SHA-512/256. Without this flag they would be SHA-256. */
const SHA512_256 = 0x2000_0000_0000_0000n;
/**
 * What `casync make` should leave out of a directory. It is set by default and means nothing for a
 * blob.
 */
const EXCLUSIONS = 0xd000_0000_0000_0000n;
/** As `casync make` sets them: exclude by .caexclude, exclude nodump. */
const FLAGS_WRITTEN = SHA512_256 | 0x9000_0000_0000_0000n;

export interface ChunkRef {
  readonly id: ChunkId;
  /** Its position in the image, bytes. */
  readonly offset: number;
  readonly length: number;
}

export interface ChunkSizes {
  readonly minBytes: number;
  readonly avgBytes: number;
  readonly maxBytes: number;
}

export interface ChunkIndex {
  readonly imageBytes: number;
  readonly sizes: ChunkSizes;
  /** The number of chunks. */
  readonly count: number;
  /** The n-th chunk, from 0. @throws Fault `assert.broken` past the end. */
  at(n: number): ChunkRef;
}

/**
 * [OTA-30] Reads a whole index strictly: every byte must be what casync would have written for
 * these chunks.
 * @param bytes kept without a copy; they must not change afterwards.
 * @throws Fault `index.too-large` above {@link INDEX_BYTES_MAX}; `index.invalid` otherwise.
 */
export function readIndex(bytes: Uint8Array): ChunkIndex {
  if (bytes.byteLength > INDEX_BYTES_MAX)
    throw new Fault("index.too-large", `read a chunk index: ${bytes.byteLength} bytes, at most ${INDEX_BYTES_MAX} are accepted`);
  const items = bytes.byteLength - ITEMS_AT - ITEM_BYTES;
  if (items < 0 || items % ITEM_BYTES !== 0)
    throw invalid(`${bytes.byteLength} bytes are no header, table and tail; it may be cut off`);
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const sizes = readHead(view);
  const count = items / ITEM_BYTES;
  readTail(view, ITEMS_AT + items);
  return { imageBytes: readItems(view, count, sizes), sizes, count, at: (n) => itemAt(view, count, n) };
}

function readHead(view: Buffer): ChunkSizes {
  expect(view, 0, BigInt(HEAD_BYTES), "header size");
  expect(view, 8, INDEX_TYPE, "type of a casync index");
  const flags = view.readBigUInt64LE(16);
  if ((flags & SHA512_256) === 0n)
    throw invalid("its chunk ids are SHA-256, expected SHA-512/256 (casync make --digest=sha512-256)");
  if ((flags & ~(SHA512_256 | EXCLUSIONS)) !== 0n)
    throw invalid(`it has the feature flags of an archive (0x${flags.toString(16)}), expected the index of a blob (.caibx)`);
  expect(view, HEAD_BYTES, UNKNOWN_SIZE, "table size");
  expect(view, HEAD_BYTES + 8, TABLE_TYPE, "type of a table");
  const [min = 0n, avg = 0n, max = 0n] = [24, 32, 40].map((at) => view.readBigUInt64LE(at));
  if (min < 1n || min > avg || avg > max || max > BigInt(CHUNK_BYTES_MAX))
    throw invalid(`chunk sizes ${min}:${avg}:${max}, expected rising ones from 1 to ${CHUNK_BYTES_MAX} bytes`);
  return { minBytes: Number(min), avgBytes: Number(avg), maxBytes: Number(max) };
}

function readTail(view: Buffer, at: number): void {
  expect(view, at, 0n, "zeros in the tail");
  expect(view, at + 8, 0n, "zeros in the tail");
  expect(view, at + 16, BigInt(HEAD_BYTES), "offset of the table");
  expect(view, at + 24, BigInt(at + ITEM_BYTES - HEAD_BYTES), "size of the table");
  expect(view, at + 32, TAIL_MARKER, "tail marker");
}

/** @returns the image's size. */
function readItems(view: Buffer, count: number, { minBytes, maxBytes }: ChunkSizes): number {
  let end = 0n;
  for (let n = 0; n < count; n++) {
    const next = view.readBigUInt64LE(ITEMS_AT + n * ITEM_BYTES);
    const length = next - end;
    const least = n === count - 1 ? 1n : BigInt(minBytes); // only the last chunk may be shorter
    if (length < least || length > BigInt(maxBytes))
      throw invalid(`chunk ${n} has ${length} bytes, expected ${least} to ${maxBytes}`);
    end = next;
    if (end > BigInt(IMAGE_BYTES_MAX)) throw invalid(`its image has more than ${IMAGE_BYTES_MAX} bytes`);
  }
  return Number(end);
}

function itemAt(view: Buffer, count: number, n: number): ChunkRef {
  if (!Number.isInteger(n) || n < 0 || n >= count) throw new Fault("assert.broken", `chunk ${n} of an index of ${count}`);
  const at = ITEMS_AT + n * ITEM_BYTES;
  const offset = n === 0 ? 0 : Number(view.readBigUInt64LE(at - ITEM_BYTES));
  const id = view.toString("hex", at + ITEM_BYTES - ID_BYTES, at + ITEM_BYTES);
  return { id, offset, length: Number(view.readBigUInt64LE(at)) - offset };
}

/**
 * [OTA-30] The index of an image that consists of these chunks in this order. {@link readIndex}
 * accepts the result.
 * @throws Fault `index.invalid`, `index.too-large`.
 */
export function writeIndex(chunks: readonly Pick<ChunkRef, "id" | "length">[], sizes: ChunkSizes): Uint8Array {
  const tailAt = ITEMS_AT + chunks.length * ITEM_BYTES;
  const view = Buffer.alloc(tailAt + ITEM_BYTES);
  const { minBytes, avgBytes, maxBytes } = sizes;
  put(view, 0, [HEAD_BYTES, INDEX_TYPE, FLAGS_WRITTEN, minBytes, avgBytes, maxBytes, UNKNOWN_SIZE, TABLE_TYPE]);
  let end = 0;
  for (const [n, { id, length }] of chunks.entries()) {
    if (!isChunkId(id)) throw invalid(`the id of chunk ${n} is "${id}", expected 64 hex digits`);
    end += length;
    put(view, ITEMS_AT + n * ITEM_BYTES, [end]);
    view.write(id, ITEMS_AT + (n + 1) * ITEM_BYTES - ID_BYTES, "hex");
  }
  put(view, tailAt, [0, 0, HEAD_BYTES, tailAt + ITEM_BYTES - HEAD_BYTES, TAIL_MARKER]);
  readIndex(view);
  return view;
}

function put(view: Buffer, at: number, words: readonly (number | bigint)[]): void {
  for (const [n, word] of words.entries()) view.writeBigUInt64LE(BigInt(word), at + n * 8);
}

function expect(view: Buffer, at: number, word: bigint, what: string): void {
  const found = view.readBigUInt64LE(at);
  if (found !== word) throw invalid(`0x${found.toString(16)} at byte ${at}, expected the ${what}, 0x${word.toString(16)}`);
}

function invalid(why: string): Fault {
  return new Fault("index.invalid", `read a chunk index: ${why}`);
}
