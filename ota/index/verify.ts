// From the bytes somebody served to the bytes an image has, or to a refusal. [OTA-31]
import { asFault, Fault } from "../../hal/fault.ts";
import { type Decoder, openDecoder } from "./decoder.ts";
import { CHUNK_FILE_BYTES_MAX, type ChunkRef, chunkId } from "./format/index.ts";

/** Checks chunks one after the other and keeps its decoder between them. Several may work side by side. */
export interface ChunkVerifier {
  /**
   * [OTA-31] The chunk's own bytes, proven: at most `ref.length` bytes are ever kept, length and SHA-512/256 are those of the index. Decompression runs in
   * libuv's thread pool; the hash (810 MiB/s measured) on the calling thread: Node has no asynchronous SHA-512/256.
   * @param encoded one zstd frame. Its own checksum and size claims count for nothing.
   * @throws Fault `chunk.tampered`, whatever is wrong with it.
   */
  verify(encoded: Uint8Array, ref: ChunkRef): Promise<Uint8Array>;
  close(): void;
}

export function createChunkVerifier(): ChunkVerifier {
  let decoder: Decoder | undefined;
  const close = (): void => {
    decoder?.close();
    decoder = undefined;
  };
  return {
    verify: async (encoded, ref) => {
      if (encoded.byteLength > CHUNK_FILE_BYTES_MAX)
        throw tampered(ref, `it has ${encoded.byteLength} bytes, at most ${CHUNK_FILE_BYTES_MAX} are accepted`);
      decoder ??= openDecoder();
      try {
        return proven(await decoder.decode(encoded, ref.length), ref);
      } catch (error) {
        close(); // it may be in the middle of a frame: the next chunk is not to suffer for this one
        const fault = asFault(error, "chunk.tampered", "decompress");
        throw fault.code === "chunk.tampered" ? tampered(ref, fault.message, error) : fault;
      }
    },
    close,
  };
}

/** [OTA-31] One chunk, as {@link ChunkVerifier.verify}. */
export async function verifyChunk(encoded: Uint8Array, ref: ChunkRef): Promise<Uint8Array> {
  const verifier = createChunkVerifier();
  try {
    return await verifier.verify(encoded, ref);
  } finally {
    verifier.close();
  }
}

function proven(bytes: Uint8Array, ref: ChunkRef): Uint8Array {
  if (bytes.byteLength !== ref.length) throw new Fault("chunk.tampered", `it decompresses to ${bytes.byteLength} bytes`);
  const found = chunkId(bytes);
  if (found !== ref.id) throw new Fault("chunk.tampered", `its content is ${found}`);
  return bytes;
}

function tampered(ref: ChunkRef, why: string, cause?: unknown): Fault {
  return new Fault("chunk.tampered", `verify chunk ${ref.id} of ${ref.length} bytes: ${why}`, { cause });
}
