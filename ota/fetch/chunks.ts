// Fetching chunks from the repository into the hand-over directory. They are verified here too, so
// that a bad mirror costs another attempt and not an installation. [OTA-31] [OTA-32] [OTA-75]
import { performance } from "node:perf_hooks";
import { asFault, Fault } from "../../hal/fault.ts";
import { verifyChunk } from "../index/index.ts";
import { CHUNK_FILE_BYTES_MAX, chunkFileName, type ChunkIndex, chunkPath, type ChunkRef } from "../index/format/index.ts";
import { withAttempts } from "./attempts.ts";
import type { FileSource } from "./file.ts";
import { FetchPace } from "./pace.ts";
import type { PartialFile } from "./partial.ts";
import type { FetchRange } from "./ranges.ts";

export interface ChunksToFetch extends FileSource {
  readonly index: ChunkIndex;
  readonly window: FetchRange;
  /** The directory of chunks in the repository. */
  readonly store: string;
  /** What earlier ranges have shown about the line. */
  readonly pace?: FetchPace;
  /** Called after each chunk, with the bytes that it took on the line. */
  readonly onFetched?: (ref: ChunkRef, fileBytes: number) => void;
}

/**
 * Fetches each different chunk of the window once, unless it is in the drop already. When it
 * resolves, all of them are in the drop. When it rejects, no work is in progress any more, and what
 * has arrived stays in the drop.
 * @throws Fault `chunk.missing` at once when the repository has none; `chunk.tampered` and
 *   `fetch.*` as {@link withAttempts}; `tls.*` at once; `update.aborted`; `file.*` of the drop.
 */
export async function fetchChunks(job: ChunksToFetch): Promise<void> {
  await new ChunkFetcher(job).run();
}

class ChunkFetcher {
  readonly #job: ChunksToFetch;
  readonly #pace: FetchPace;
  /** In the reverse order. */
  readonly #left: ChunkRef[];
  readonly #workers = new Set<Promise<void>>();
  #fault: Fault | undefined;
  #fetchedBytes = 0;

  constructor(job: ChunksToFetch) {
    this.#job = job;
    this.#pace = job.pace ?? new FetchPace();
    this.#left = distinctChunks(job.index, job.window).toReversed();
  }

  async run(): Promise<void> {
    const startedAtMs = performance.now();
    this.#hire();
    while (this.#workers.size > 0) await Promise.race(this.#workers);
    if (this.#fault !== undefined) throw this.#fault;
    this.#pace.ranged(this.#fetchedBytes, performance.now() - startedAtMs);
  }

  /** As many at once as the line bears, and no more than there are chunks left. */
  #hire(): void {
    while (this.#fault === undefined && this.#workers.size < this.#pace.inFlightMax) {
      const ref = this.#left.pop();
      if (ref === undefined) return;
      const work: Promise<void> = this.#bring(ref).then(() => {
        this.#workers.delete(work);
        this.#hire();
      });
      this.#workers.add(work);
    }
  }

  /** Never rejects: the first fault ends the range. */
  async #bring(ref: ChunkRef): Promise<void> {
    const { drop, onFetched } = this.#job;
    try {
      if (await this.#isThere(ref)) return;
      let startedAtMs = 0;
      const file = await withAttempts({ ...this.#job, onBroken: () => this.#pace.broke() }, (partial) => {
        startedAtMs = performance.now();
        return this.#fetch(ref, partial);
      });
      this.#pace.fetched(performance.now() - startedAtMs);
      await drop.put(chunkFileName(ref.id), file);
      this.#fetchedBytes += file.byteLength;
      onFetched?.(ref, file.byteLength);
    } catch (error) {
      this.#fault ??= asFault(error, "fetch.unreachable", "fetch chunks");
    }
  }

  /** Left by an earlier attempt at this range. It proves itself as if it had just come. */
  async #isThere(ref: ChunkRef): Promise<boolean> {
    const file = await this.#job.drop.get(chunkFileName(ref.id), CHUNK_FILE_BYTES_MAX);
    if (file === undefined) return false;
    return await verifyChunk(file, ref).then(
      () => true,
      () => false,
    );
  }

  async #fetch(ref: ChunkRef, partial: PartialFile): Promise<Uint8Array> {
    const { repository, store, signal } = this.#job;
    const file = await repository
      .get(`${store}/${chunkPath(ref.id)}`, CHUNK_FILE_BYTES_MAX, signal, partial)
      .catch((error: unknown) => {
        // larger than any chunk: it is another content, as a page of a portal may be
        if (!(error instanceof Fault) || error.code !== "fetch.too-large") throw error;
        throw new Fault("chunk.tampered", error.message, { cause: error });
      });
    if (file === undefined)
      throw new Fault("chunk.missing", `fetch chunk ${ref.id}: the repository has no such chunk in "${store}"`);
    await verifyChunk(file, ref);
    return file;
  }
}

function distinctChunks(index: ChunkIndex, { from, to }: FetchRange): readonly ChunkRef[] {
  const refs = new Map<string, ChunkRef>();
  for (let n = from; n < to; n++) refs.set(index.at(n).id, index.at(n));
  return [...refs.values()];
}
