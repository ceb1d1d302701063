// One chunk, for whoever fetches it. [OTA-31]
import type { ChunkRef } from "./format/index.ts";
import { unpackChunk } from "./unpack.ts";

/**
 * [OTA-31] The chunk's own bytes, proven, as {@link unpackChunk}. The calling thread is busy for some 0.2 ms at casync's sizes, 4 ms for the largest chunk.
 * @throws Fault `chunk.tampered`, whatever is wrong with it.
 */
export async function verifyChunk(encoded: Uint8Array, ref: ChunkRef): Promise<Uint8Array> {
  return unpackChunk(encoded, ref);
}
