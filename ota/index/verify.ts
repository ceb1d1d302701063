// Verification of a single chunk, for code that fetches it. [OTA-31]
import type { ChunkRef } from "./format/index.ts";
import { unpackChunk } from "./unpack.ts";

/**
 * [OTA-31] Returns the chunk's own bytes, proven, like {@link unpackChunk}. The calling thread is
 * busy for about 0.2 ms at casync's sizes, and for 4 ms with the largest chunk.
 * @throws Fault `chunk.tampered` for any deviation.
 */
export async function verifyChunk(encoded: Uint8Array, ref: ChunkRef): Promise<Uint8Array> {
  return unpackChunk(encoded, ref);
}
