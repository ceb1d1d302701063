// A source of chunks that another process leaves as files. [OTA-32]
import { Fault } from "../../hal/fault.ts";
import type { HandoverReader } from "../../hal/ports.ts";
import { CHUNK_FILE_BYTES_MAX, chunkFileName } from "../index/format/index.ts";
import type { ChunkSource } from "./chunks.ts";

/**
 * [OTA-32] The name comes from the signed index, never from the process that left the file.
 * @throws Fault `chunk.missing`; `file.*` as {@link HandoverReader.take}.
 */
export function createHandoverSource(handover: HandoverReader): ChunkSource {
  return async (ref) => {
    const encoded = await handover.take(chunkFileName(ref.id), CHUNK_FILE_BYTES_MAX);
    if (encoded === undefined) throw new Fault("chunk.missing", `take chunk ${ref.id}: it is not in the hand-over directory`);
    return encoded;
  };
}
