// A zstd decoder that is kept: making one anew for each chunk costs as much as a chunk, and leaves its window (2 MiB) for the collector to find. [OTA-31]
import { constants, createZstdDecompress } from "node:zlib";
import { Fault } from "../../hal/fault.ts";
import { CHUNK_WINDOW_LOG_MAX } from "./format/index.ts";

/** Filled before another is made: casync's largest chunk at its default sizes, or several small ones. */
const OUTPUT_BYTES = 262_144;

export interface Decoder {
  /**
   * One frame at a time; frames follow each other in one stream.
   * @returns what came out, at most `bytesMax` bytes.
   * @throws Fault `chunk.tampered` for more, and for what is no zstd. Afterwards the decoder is of no more use.
   */
  decode(frame: Uint8Array, bytesMax: number): Promise<Uint8Array>;
  close(): void;
}

export function openDecoder(): Decoder {
  const stream = createZstdDecompress({
    chunkSize: OUTPUT_BYTES,
    params: { [constants.ZSTD_d_windowLogMax]: CHUNK_WINDOW_LOG_MAX },
  });
  let waiting: { readonly take: (part: Buffer) => void; readonly fail: (error: unknown) => void } | undefined;
  stream.on("data", (part: Buffer) => waiting?.take(part));
  // a write that was under way is not told
  stream.on("error", (error) => waiting?.fail(error));
  stream.on("close", () => waiting?.fail(new Fault("chunk.tampered", "the decoder was closed")));
  const decode = (frame: Uint8Array, bytesMax: number): Promise<Uint8Array> => {
    const parts: Buffer[] = [];
    const done = Promise.withResolvers<Uint8Array>();
    let bytes = 0;
    const take = (part: Buffer): void => {
      bytes += part.byteLength;
      parts.push(part);
      if (bytes > bytesMax) stream.destroy(new Fault("chunk.tampered", `it decompresses to more than ${bytesMax} bytes`));
    };
    waiting = { take, fail: done.reject };
    // what the last turn of the thread pool gave is handed on right after the write's end
    stream.write(frame, () =>
      setImmediate(() => done.resolve(parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts))),
    );
    return done.promise;
  };
  return { decode, close: () => void stream.destroy() };
}
