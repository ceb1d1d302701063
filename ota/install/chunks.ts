// From chunks to a slot. Nothing is written that was not verified, from the very buffer that was verified. [OTA-31] [OTA-33]
import { createHash } from "node:crypto";
import { asFault, Fault } from "../../hal/fault.ts";
import type { SlotWriter } from "../../hal/ports.ts";
import { type ChunkVerifier, createChunkVerifier } from "../index/index.ts";
import type { ChunkIndex, ChunkRef } from "../index/format/index.ts";
import { CHUNKS_IN_FLIGHT, CHUNKS_PER_SYNC, READ_BACK_BYTES } from "./limits.ts";

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
  const work = async (verifier: ChunkVerifier): Promise<void> => {
    while (next < to && faults.length === 0) {
      stopIfAborted(signal);
      const ref = index.at(next++);
      const proven = await verifier.verify(await source(ref), ref);
      stopIfAborted(signal);
      await slot.write(ref.offset, proven);
      done.chunks += 1;
      done.bytes += ref.length;
      onProgress?.({ phase: "writing", ...done, imageBytes: index.imageBytes });
    }
  };
  const failing = (error: unknown): void => void faults.push(asFault(error, "slot.write-failed", "install a part"));
  const verifiers = Array.from({ length: CHUNKS_IN_FLIGHT }, createChunkVerifier);
  await Promise.all(verifiers.map((verifier) => work(verifier).catch(failing)));
  for (const verifier of verifiers) verifier.close();
  if (faults[0] !== undefined) throw faults[0];
}

/**
 * [OTA-33] Reads the part from the slot and compares each chunk's content with its id: block by block, the next being read while one is hashed.
 * @throws Fault `slot.mismatch`, `slot.read-failed`, `update.aborted`.
 */
export async function readBack({ index, slot, onProgress, signal }: Omit<PartToInstall, "source">): Promise<void> {
  const { imageBytes, count } = index;
  let hash = createHash("sha512-256");
  let n = 0;
  for await (const { offset, bytes } of blocksOf(slot, imageBytes)) {
    stopIfAborted(signal);
    for (let done = 0; done < bytes.byteLength && n < count;) {
      const ref = index.at(n);
      const end = Math.min(ref.offset + ref.length - offset, bytes.byteLength);
      hash.update(bytes.subarray(done, end));
      done = end;
      if (offset + end < ref.offset + ref.length) break; // the rest is in the next block
      if (hash.digest("hex") !== ref.id) throw mismatch(ref.offset);
      hash = createHash("sha512-256");
      n += 1;
      onProgress?.({ phase: "reading-back", chunks: n, bytes: ref.offset + ref.length, imageBytes });
    }
  }
  if (n < count) throw mismatch(index.at(n).offset);
}

interface Block {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** Ends early where the slot does. Reads one block ahead, into two buffers by turns: a block holds until the next but one is asked for. */
async function* blocksOf(slot: SlotWriter, imageBytes: number): AsyncGenerator<Block> {
  const size = Math.min(READ_BACK_BYTES, imageBytes);
  let [memory, other] = [new Uint8Array(size), new Uint8Array(size)];
  const read = (offset: number, into: Uint8Array): Promise<number> => slot.read(offset, into.subarray(0, imageBytes - offset));
  let ahead = read(0, memory);
  for (let offset = 0; offset < imageBytes;) {
    const bytes = memory.subarray(0, await ahead);
    if (bytes.byteLength === 0) return;
    const next = offset + bytes.byteLength;
    [memory, other] = [other, memory];
    if (next < imageBytes) {
      ahead = read(next, memory);
      ahead.catch(() => undefined); // waited for in the next turn, unless the caller stops before
    }
    yield { offset, bytes };
    offset = next;
  }
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
