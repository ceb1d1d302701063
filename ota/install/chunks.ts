// The installation of a part: from chunks to a slot. Only verified bytes are written, from the same
// memory in which they were verified. [OTA-31] [OTA-33]
import { Fault } from "../../hal/fault.ts";
import type { SlotWriter } from "../../hal/ports.ts";
import { freeMemory, freeIfOwned, verifyRangesHere, type RangeVerifier } from "../index/index.ts";
import type { ChunkIndex, ChunkRef } from "../index/format/index.ts";
import { CHUNKS_PER_SYNC, RANGE_BYTES } from "./limits.ts";
import { forEachRange } from "./ranges.ts";

/**
 * A source of encoded chunks: a hand-over directory, a network, an installed image. The caller
 * takes over the memory that it returns, and releases it as soon as it is unpacked.
 * @throws Fault `chunk.missing`.
 */
export type ChunkSource = (ref: ChunkRef) => Promise<Uint8Array>;

/** A record of how much of a part is in place, across power cuts. */
export interface InstallJournal {
  /**
   * Chunks, counted from the first, that an earlier attempt at exactly this part has synced; 0 when
   * nothing is known.
   */
  inPlace(): Promise<number>;
  /** Called when the first `count` chunks are synced. Durable when it resolves. */
  advance(count: number): Promise<void>;
}

/**
 * The part is written and read back at the same time, so the phases alternate. The last report is
 * of reading back.
 */
export interface InstallProgress {
  readonly phase: "writing" | "reading-back";
  readonly chunks: number;
  readonly bytes: number;
  readonly imageBytes: number;
}

export interface PartToInstall {
  readonly index: ChunkIndex;
  readonly source: ChunkSource;
  /** It has at least `index.imageBytes`. The caller closes it. */
  readonly slot: SlotWriter;
  readonly journal?: InstallJournal;
  readonly onProgress?: (progress: InstallProgress) => void;
  readonly signal?: AbortSignal;
  /**
   * Decompresses and hashes chunks, by default on the calling thread. For other threads, the
   * main.ts of the installing program calls `if (inThread()) serveThread(rangeWork)` before
   * anything else, and passes `verifyRangesOn(startThreads({ file: import.meta.url, countMax: 1
   * }))` here.
   */
  readonly verifier?: RangeVerifier;
}

/**
 * [OTA-33] Writes the whole part, syncs it, and reads it back. When it resolves, the slot on the
 * device holds what the index says. When it rejects, the slot holds a fragment and must not be
 * booted. Memory: a few times {@link RANGE_BYTES} and the index, for an image of any size.
 * @throws Fault `chunk.tampered`, `chunk.missing`, `slot.*`, `update.aborted`, and what `source`
 *   throws. By then all work has ended.
 */
export async function installPart(part: PartToInstall): Promise<void> {
  const { index, slot, journal } = part;
  const whole = { ...part, verifier: part.verifier ?? verifyRangesHere() };
  const inPlace = Math.min((await journal?.inPlace()) ?? 0, index.count);
  // What was written is synced and read back while the next chunks are unpacked. It may fall
  // behind, because nothing but a range number waits in that queue.
  const state = { failed: false };
  let behind = Promise.resolve();
  const follow = (work: () => Promise<void>): void => {
    behind = behind.then(work);
    behind.catch(() => (state.failed = true)); // thrown below
  };
  if (inPlace > 0) follow(() => readBack(whole, 0, inPlace));
  const writing = async (): Promise<void> => {
    for (let from = inPlace; from < index.count && !state.failed; from += CHUNKS_PER_SYNC) {
      const to = Math.min(from + CHUNKS_PER_SYNC, index.count);
      await writeChunks(whole, from, to);
      follow(async () => {
        await slot.sync();
        await journal?.advance(to);
        await readBack(whole, from, to);
      });
    }
  };
  const [written] = await Promise.allSettled([writing()]);
  const [proven] = await Promise.allSettled([behind]);
  for (const outcome of [written, proven]) if (outcome.status === "rejected") throw outcome.reason;
}

/**
 * [OTA-31] Writes the chunks from `from` up to but not including `to`, in any order, without a
 * sync.
 * @throws as {@link installPart}.
 */
export async function writeChunks(
  { index, source, slot, onProgress, signal, verifier = verifyRangesHere() }: PartToInstall,
  from: number,
  to: number,
): Promise<void> {
  const done = { chunks: from, bytes: from === to ? 0 : index.at(from).offset };
  await forEachRange({ index, from, to, width: verifier.width }, async ({ refs, offset, bytes }) => {
    stopIfAborted(signal);
    const packed: Uint8Array[] = [];
    for (const ref of refs) packed.push(await source(ref));
    const proven = await verifier.unpack(packed, refs);
    for (const frame of packed) freeIfOwned(frame);
    stopIfAborted(signal);
    await slot.write(offset, proven);
    freeMemory(proven);
    done.chunks += refs.length;
    done.bytes += bytes;
    onProgress?.({ phase: "writing", ...done, imageBytes: index.imageBytes });
  });
}

/**
 * [OTA-33] Reads the chunks from `from` up to but not including `to` from the slot, and compares
 * the content of each with its id. They must be synced before; others may be written meanwhile.
 * @throws Fault `slot.mismatch`, `slot.read-failed`, `update.aborted`.
 */
export async function readBack(
  { index, slot, onProgress, signal, verifier = verifyRangesHere() }: Omit<PartToInstall, "source">,
  from = 0,
  to = index.count,
): Promise<void> {
  const { imageBytes } = index;
  const done = { chunks: from, bytes: from === to ? 0 : index.at(from).offset };
  const spare: Uint8Array[] = [];
  await forEachRange({ index, from, to, width: 2 }, async ({ refs, offset, bytes }) => {
    stopIfAborted(signal);
    const memory = memoryOf(spare, bytes);
    const length = await slot.read(offset, memory.subarray(0, bytes));
    if (length < bytes) throw mismatch((refs.find((ref) => ref.offset + ref.length > offset + length) ?? { offset }).offset);
    const checked = await verifier.check(memory, refs);
    spare.push(checked.memory);
    if (checked.wrong !== undefined) throw mismatch((refs[checked.wrong] ?? { offset }).offset);
    done.chunks += refs.length;
    done.bytes += bytes;
    onProgress?.({ phase: "reading-back", ...done, imageBytes });
  });
  for (const memory of spare) freeMemory(memory);
}

function memoryOf(spare: Uint8Array[], bytes: number): Uint8Array {
  const memory = spare.pop();
  return memory !== undefined && memory.byteLength >= bytes ? memory : new Uint8Array(Math.max(bytes, RANGE_BYTES));
}

function mismatch(offset: number): Fault {
  return new Fault(
    "slot.mismatch",
    `read back the chunk at ${offset}: the slot does not hold what was written; the disk may be failing`,
  );
}

function stopIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true)
    throw new Fault("update.aborted", "install a part: stopped before its end", { cause: signal.reason });
}
