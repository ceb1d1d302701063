// From the bytes somebody served to the bytes an image has, or to a refusal. [OTA-31]
import { promisify } from "node:util";
import { constants, zstdDecompress } from "node:zlib";
import { Fault } from "../../hal/fault.ts";
import { CHUNK_FILE_BYTES_MAX, CHUNK_WINDOW_LOG_MAX, type ChunkRef, chunkId } from "./format/index.ts";

const decompress = promisify(zstdDecompress);

/**
 * [OTA-31] The chunk's own bytes, proven: at most `ref.length` bytes are ever decompressed, length and SHA-512/256 are those of the index. Decompression runs
 * in libuv's thread pool; the hash (810 MiB/s measured) on the calling thread: Node has no asynchronous SHA-512/256.
 * @param encoded one zstd frame. Its own checksum and size claims count for nothing.
 * @throws Fault `chunk.tampered`, whatever is wrong with it.
 */
export async function verifyChunk(encoded: Uint8Array, ref: ChunkRef): Promise<Uint8Array> {
  if (encoded.byteLength > CHUNK_FILE_BYTES_MAX)
    throw tampered(ref, `it has ${encoded.byteLength} bytes, at most ${CHUNK_FILE_BYTES_MAX} are accepted`);
  const bytes = await decompressBounded(encoded, ref);
  if (bytes.byteLength !== ref.length)
    throw tampered(ref, `it decompresses to ${bytes.byteLength} bytes, expected ${ref.length}`);
  const found = chunkId(bytes);
  if (found !== ref.id) throw tampered(ref, `its content is ${found}`);
  return bytes;
}

async function decompressBounded(encoded: Uint8Array, ref: ChunkRef): Promise<Uint8Array> {
  try {
    return await decompress(encoded, {
      maxOutputLength: ref.length,
      chunkSize: Math.max(ref.length + 1, MIN_CHUNK_SIZE), // the whole of it in one turn of the thread pool: a full buffer would ask for another
      params: { [constants.ZSTD_d_windowLogMax]: CHUNK_WINDOW_LOG_MAX },
    });
  } catch (error) {
    throw tampered(ref, error instanceof Error ? error.message : String(error), error);
  }
}

/** zlib's own least. */
const MIN_CHUNK_SIZE = 64;

function tampered(ref: ChunkRef, why: string, cause?: unknown): Fault {
  return new Fault("chunk.tampered", `verify chunk ${ref.id} of ${ref.length} bytes: ${why}`, { cause });
}
