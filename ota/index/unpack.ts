// Decompression and verification of chunks, synchronously on the calling thread. Pure. [OTA-31]
import { constants, zstdDecompressSync } from "node:zlib";
import { asFault, Fault } from "../../hal/fault.ts";
import { CHUNK_FILE_BYTES_MAX, CHUNK_WINDOW_LOG_MAX, type ChunkId, chunkId } from "./format/index.ts";

/** What the index says about the content. */
export interface ChunkClaim {
  readonly id: ChunkId;
  readonly length: number;
}

/** A chunk of a range whose frames follow each other. */
export interface PackedChunk extends ChunkClaim {
  readonly packedBytes: number;
}

/**
 * [OTA-31] Returns the chunk's own bytes, proven: hardly more than `length` of them are ever
 * produced, and their length and SHA-512/256 are those of the index.
 * @param packed one zstd frame. Its own checksum and size are ignored.
 * @throws Fault `chunk.tampered` for any deviation.
 */
export function unpackChunk(packed: Uint8Array, claim: ChunkClaim): Uint8Array {
  if (packed.byteLength > CHUNK_FILE_BYTES_MAX)
    throw tampered(claim, `it has ${packed.byteLength} bytes, at most ${CHUNK_FILE_BYTES_MAX} are accepted`);
  const bytes = decompress(packed, claim);
  if (bytes.byteLength !== claim.length) throw tampered(claim, `it decompresses to ${bytes.byteLength} bytes`);
  const found = chunkId(bytes);
  if (found !== claim.id) throw tampered(claim, `its content is ${found}`);
  return bytes;
}

/**
 * [OTA-31] Like {@link unpackChunk}, for consecutive chunks of an image. They are decompressed
 * together, because a decoder for each one costs half as much as its chunk; each is then compared
 * with its own id. When that fails they are unpacked one by one, which finds the bad one.
 * @returns memory with a buffer to itself.
 * @throws Fault `chunk.tampered` that names the chunk.
 */
export function unpackRange(packed: Uint8Array, chunks: readonly PackedChunk[]): Uint8Array {
  const bytes = decompressTogether(packed, chunks);
  if (bytes !== undefined && firstWrong(bytes, chunks) === undefined) return bytes;
  let at = 0;
  const parts = chunks.map((chunk) => unpackChunk(packed.subarray(at, (at += chunk.packedBytes)), chunk));
  return concatenate(parts);
}

/**
 * @returns the position in `chunks` of the first whose content does not match its id, or undefined.
 */
export function firstWrong(bytes: Uint8Array, chunks: readonly ChunkClaim[]): number | undefined {
  let at = 0;
  const wrong = chunks.findIndex(({ id, length }) => chunkId(bytes.subarray(at, (at += length))) !== id);
  return wrong === -1 ? undefined : wrong;
}

/**
 * @returns memory with a buffer to itself, which can be transferred to another thread or released
 *   at once.
 */
export function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = Buffer.allocUnsafeSlow(parts.reduce((sum, { byteLength }) => sum + byteLength, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.byteLength;
  }
  return bytes;
}

/** Room past the end: if it is filled, there was too much. */
const SPARE_BYTES = 64;

/** @returns undefined when the result is not what the index says, for any reason. */
function decompressTogether(packed: Uint8Array, chunks: readonly PackedChunk[]): Uint8Array | undefined {
  const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  try {
    const bytes = zstdDecompressSync(packed, options(length));
    if (bytes.byteLength !== length) return undefined;
    // small buffers come from Node's pool
    return bytes.buffer.byteLength === length + SPARE_BYTES ? bytes : Uint8Array.from(bytes);
  } catch (error) {
    // reported when the chunks are unpacked one by one
    asFault(error, "chunk.tampered", "decompress");
    return undefined;
  }
}

function decompress(packed: Uint8Array, claim: ChunkClaim): Uint8Array {
  try {
    return zstdDecompressSync(packed, options(claim.length));
  } catch (error) {
    throw tampered(claim, asFault(error, "chunk.tampered", "decompress").message, error);
  }
}

function options(length: number): Parameters<typeof zstdDecompressSync>[1] {
  return {
    chunkSize: length + SPARE_BYTES,
    maxOutputLength: length,
    params: { [constants.ZSTD_d_windowLogMax]: CHUNK_WINDOW_LOG_MAX },
  };
}

function tampered({ id, length }: ChunkClaim, why: string, cause?: unknown): Fault {
  return new Fault("chunk.tampered", `verify chunk ${id} of ${length} bytes: ${why}`, { cause });
}
