// Fetching chunks from the repository into the hand-over directory. They are verified here too, so
// that a bad mirror costs another attempt and not an installation. [OTA-31] [OTA-32]
import { asFault, Fault } from "../../hal/fault.ts";
import type { Clock, HandoverWriter } from "../../hal/ports.ts";
import { verifyChunk } from "../index/index.ts";
import { CHUNK_FILE_BYTES_MAX, chunkFileName, type ChunkIndex, chunkPath, type ChunkRef } from "../index/format/index.ts";
import type { Repository } from "./repository.ts";
import type { FetchRange } from "./ranges.ts";

/** Chunks requested at the same time: the line stays busy although each takes a round trip. */
const FETCHES_IN_FLIGHT = 6;
/** Attempts for one chunk, including the first: they cover about ten minutes of a dead line. */
export const ATTEMPTS_MAX = 10;
/**
 * Attempts for one chunk that arrives with the wrong content. A mirror with a bad copy, or a proxy
 * that changes data, will still do so a minute later.
 */
export const TAMPERED_MAX = 3;
const RETRY_MS_MIN = 500;
export const RETRY_MS_MAX = 120_000;

export interface ChunksToFetch {
  readonly index: ChunkIndex;
  readonly window: FetchRange;
  readonly repository: Repository;
  /** The directory of chunks in the repository. */
  readonly store: string;
  readonly drop: HandoverWriter;
  readonly clock: Pick<Clock, "sleep">;
  /** In [0, 1). It spreads the attempts of a fleet. */
  readonly random: () => number;
  /** Called after each chunk, with the bytes that it took on the line. */
  readonly onFetched?: (ref: ChunkRef, fileBytes: number) => void;
  readonly signal?: AbortSignal;
}

/**
 * Fetches each different chunk of the window once. When it resolves, all of them are in the drop.
 * When it rejects, no work is in progress any more.
 * @throws Fault `chunk.missing` at once when the repository has none; `chunk.tampered` within
 *   seconds, after {@link TAMPERED_MAX} attempts with the wrong content; `fetch.*` after
 *   {@link ATTEMPTS_MAX} attempts; `tls.*` at once; `update.aborted`; `file.*` of the drop.
 */
export async function fetchChunks(job: ChunksToFetch): Promise<void> {
  const refs = distinctChunks(job.index, job.window);
  const faults: Fault[] = [];
  let next = 0;
  const work = async (): Promise<void> => {
    for (let ref = refs[next++]; ref !== undefined && faults.length === 0; ref = refs[next++]) {
      const file = await fetchWithRetries(job, ref);
      await job.drop.put(chunkFileName(ref.id), file);
      job.onFetched?.(ref, file.byteLength);
    }
  };
  const recordFault = (error: unknown): void => void faults.push(asFault(error, "fetch.unreachable", "fetch chunks"));
  await Promise.all(Array.from({ length: FETCHES_IN_FLIGHT }, () => work().catch(recordFault)));
  if (faults[0] !== undefined) throw faults[0];
}

function distinctChunks(index: ChunkIndex, { from, to }: FetchRange): readonly ChunkRef[] {
  const refs = new Map<string, ChunkRef>();
  for (let n = from; n < to; n++) refs.set(index.at(n).id, index.at(n));
  return [...refs.values()];
}

async function fetchWithRetries(job: ChunksToFetch, ref: ChunkRef): Promise<Uint8Array> {
  const { signal, clock, random } = job;
  let tampered = 0;
  for (let attempt = 1; ; attempt++) {
    if (signal?.aborted === true) throw new Fault("update.aborted", "fetch chunks: cancelled", { cause: signal.reason });
    try {
      return await fetchOnce(job, ref);
    } catch (error) {
      const isTampered = error instanceof Fault && error.code === "chunk.tampered";
      if (isTampered) tampered += 1;
      if (attempt >= ATTEMPTS_MAX || tampered >= TAMPERED_MAX || !isTransient(error)) throw error;
      const boundMs = Math.min(RETRY_MS_MIN * 2 ** (isTampered ? tampered : attempt), RETRY_MS_MAX);
      await clock.sleep(RETRY_MS_MIN + random() * (boundMs - RETRY_MS_MIN), signal);
    }
  }
}

async function fetchOnce({ repository, store, signal }: ChunksToFetch, ref: ChunkRef): Promise<Uint8Array> {
  const file = await repository.get(`${store}/${chunkPath(ref.id)}`, CHUNK_FILE_BYTES_MAX, signal);
  if (file === undefined)
    throw new Fault("chunk.missing", `fetch chunk ${ref.id}: the repository has no such chunk in "${store}"`);
  await verifyChunk(file, ref);
  return file;
}

/**
 * A mirror may have a bad copy or a bad moment. A certificate or a disk does not change when it is
 * asked again.
 */
function isTransient(error: unknown): boolean {
  return error instanceof Fault && (error.code.startsWith("fetch.") || error.code === "chunk.tampered");
}
