// From chunks to a slot. Nothing is written that was not verified, from the very buffer that was verified. [OTA-31] [OTA-33]
import { asFault, Fault } from "../../hal/fault.ts";
import type { SlotWriter } from "../../hal/ports.ts";
import { verifyChunk } from "../index/index.ts";
import { type ChunkIndex, chunkId, type ChunkRef } from "../index/format/index.ts";
import { CHUNKS_IN_FLIGHT, CHUNKS_PER_SYNC } from "./limits.ts";

/** Where encoded chunks come from: a courier's directory, a network, an installed image. @throws Fault `chunk.missing`. */
export type ChunkSource = (ref: ChunkRef) => Promise<Uint8Array>;

/** How much of a part is in place, across power cuts. */
export interface InstallJournal {
  /** Chunks, from the first on, that an earlier attempt at this very part has synced; 0 where nothing is known. */
  inPlace(): Promise<number>;
  /** Called when the first `count` chunks are synced. Durable when it resolves. */
  advance(count: number): Promise<void>;
}

export interface Progress {
  readonly phase: "writing" | "reading-back";
  readonly chunks: number;
  readonly bytes: number;
  readonly imageBytes: number;
}

export interface PartToInstall {
  readonly index: ChunkIndex;
  readonly source: ChunkSource;
  /** Of at least `index.imageBytes`. The caller closes it. */
  readonly slot: SlotWriter;
  readonly journal?: InstallJournal;
  readonly onProgress?: (progress: Progress) => void;
  readonly signal?: AbortSignal;
}

/**
 * [OTA-33] Writes the whole part, syncs it, reads it back. When it resolves the slot holds what the index says, on the device. When it rejects the slot holds a
 * part of it and is not to be booted. Memory: {@link CHUNKS_IN_FLIGHT} chunks and the index, whatever the image's size.
 * @throws Fault `chunk.tampered`, `chunk.missing`, `slot.*`, `update.aborted`, and what `source` throws. By then nothing is under way any more.
 */
export async function installPart(part: PartToInstall): Promise<void> {
  const { index, slot, journal } = part;
  const inPlace = (await journal?.inPlace()) ?? 0;
  for (let from = Math.min(inPlace, index.count); from < index.count; from += CHUNKS_PER_SYNC) {
    const to = Math.min(from + CHUNKS_PER_SYNC, index.count);
    await writeChunks(part, from, to);
    await slot.sync();
    await journal?.advance(to);
  }
  await slot.sync();
  await readBack(part);
}

/** [OTA-31] Writes the chunks from `from` up to but not including `to`, in any order, not synced. @throws as {@link installPart}. */
export async function writeChunks(
  { index, source, slot, onProgress, signal }: PartToInstall,
  from: number,
  to: number,
): Promise<void> {
  const done = { chunks: from, bytes: from === to ? 0 : index.at(from).offset };
  const faults: Fault[] = [];
  let next = from;
  const work = async (): Promise<void> => {
    while (next < to && faults.length === 0) {
      stopIfAborted(signal);
      const ref = index.at(next++);
      const proven = await verifyChunk(await source(ref), ref);
      stopIfAborted(signal);
      await slot.write(ref.offset, proven);
      done.chunks += 1;
      done.bytes += ref.length;
      onProgress?.({ phase: "writing", ...done, imageBytes: index.imageBytes });
    }
  };
  const failing = (error: unknown): void => void faults.push(asFault(error, "slot.write-failed", "install a part"));
  await Promise.all(Array.from({ length: CHUNKS_IN_FLIGHT }, () => work().catch(failing)));
  if (faults[0] !== undefined) throw faults[0];
}

/** [OTA-33] Reads every chunk from the slot and compares its content with its id. @throws Fault `slot.mismatch`, `slot.read-failed`, `update.aborted`. */
export async function readBack({ index, slot, onProgress, signal }: Omit<PartToInstall, "source">): Promise<void> {
  for (let n = 0; n < index.count; n++) {
    stopIfAborted(signal);
    const ref = index.at(n);
    const bytes = await slot.read(ref.offset, ref.length);
    if (bytes.byteLength !== ref.length || chunkId(bytes) !== ref.id)
      throw new Fault(
        "slot.mismatch",
        `read back chunk ${n} at ${ref.offset}: the slot does not hold what was written; the disk may be failing`,
      );
    onProgress?.({ phase: "reading-back", chunks: n + 1, bytes: ref.offset + ref.length, imageBytes: index.imageBytes });
  }
}

function stopIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true)
    throw new Fault("update.aborted", "install a part: stopped before its end", { cause: signal.reason });
}
