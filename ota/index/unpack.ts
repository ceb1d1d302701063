// From what somebody served to the bytes an image has, or to a refusal: on the thread that calls, without waiting for anything. Pure. [OTA-31]
import { constants, zstdDecompressSync } from "node:zlib";
import { asFault, Fault } from "../../hal/fault.ts";
import { CHUNK_FILE_BYTES_MAX, CHUNK_WINDOW_LOG_MAX, type ChunkId, chunkId } from "./format/index.ts";

/** What must come out. */
export interface ChunkClaim {
  readonly id: ChunkId;
  readonly length: number;
}

/** A chunk of a stretch whose frames lie one behind the other. */
export interface PackedChunk extends ChunkClaim {
  readonly packedBytes: number;
}

/**
 * [OTA-31] The chunk's own bytes, proven: never more than `length` of them and a little are made, length and SHA-512/256 are those of the index.
 * @param packed one zstd frame. Its own checksum and size claims count for nothing.
 * @throws Fault `chunk.tampered`, whatever is wrong with it.
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
 * [OTA-31] As {@link unpackChunk} for chunks that follow each other in an image. They are decompressed in one go, because a decoder for each costs half as much
 * as its chunk; each is then held against its own id. Where that fails they are unpacked one by one, which finds the bad one.
 * @returns memory of its own, that nothing else lies in.
 * @throws Fault `chunk.tampered`, which names the chunk.
 */
export function unpackRange(packed: Uint8Array, chunks: readonly PackedChunk[]): Uint8Array {
  const bytes = decompressTogether(packed, chunks);
  if (bytes !== undefined && firstWrong(bytes, chunks) === undefined) return bytes;
  let at = 0;
  const parts = chunks.map((chunk) => unpackChunk(packed.subarray(at, (at += chunk.packedBytes)), chunk));
  return concatenate(parts);
}

/** @returns the place in `chunks` of the first whose content is not the one of its id, or undefined. */
export function firstWrong(bytes: Uint8Array, chunks: readonly ChunkClaim[]): number | undefined {
  let at = 0;
  const wrong = chunks.findIndex(({ id, length }) => chunkId(bytes.subarray(at, (at += length))) !== id);
  return wrong === -1 ? undefined : wrong;
}

/** Memory of its own, that nothing else lies in: such memory can be handed to another thread, or given back at once. */
export function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = Buffer.allocUnsafeSlow(parts.reduce((sum, { byteLength }) => sum + byteLength, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.byteLength;
  }
  return bytes;
}

/** Room past the end: what fills it is too much, and what does not was all there is. */
const SPARE_BYTES = 64;

/** @returns undefined when they do not make what was claimed, for whatever reason. */
function decompressTogether(packed: Uint8Array, chunks: readonly PackedChunk[]): Uint8Array | undefined {
  const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  try {
    const bytes = zstdDecompressSync(packed, options(length));
    if (bytes.byteLength !== length) return undefined;
    // small ones come from Node's pool
    return bytes.buffer.byteLength === length + SPARE_BYTES ? bytes : Uint8Array.from(bytes);
  } catch (error) {
    asFault(error, "chunk.tampered", "decompress"); // told when the chunks are tried one by one
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
