// Verification of ranges of an image, chunk by chunk, on this thread or on others. [OTA-31]
// [OTA-33]
import { assert, Fault } from "../../hal/fault.ts";
import type { ThreadAnswer, ThreadJob, Threads } from "../../hal/ports.ts";
import type { ChunkRef } from "./format/index.ts";
import { firstWrong, concatenate, type PackedChunk, unpackRange } from "./unpack.ts";

/** The caller gives its memory away, and gets memory with a buffer to itself back. */
export interface RangeVerifier {
  /** Ranges in progress that keep the verifier busy while others are read and written. */
  readonly width: number;
  /**
   * [OTA-31]
   * @param packed a zstd frame for each of `chunks`, which follow each other in the image.
   * @returns their bytes, proven one by one.
   * @throws Fault `chunk.tampered`; `process.failed` when a thread ended.
   */
  unpack(packed: readonly Uint8Array[], chunks: readonly ChunkRef[]): Promise<Uint8Array>;
  /**
   * [OTA-33]
   * @returns the memory, and the first of `chunks` whose content does not match its id. The memory
   *   begins with their bytes.
   */
  check(memory: Uint8Array, chunks: readonly ChunkRef[]): Promise<RangeCheck>;
}

export interface RangeCheck {
  readonly memory: Uint8Array;
  readonly wrong: number | undefined;
}

/** Verifies on the calling thread, which is then busy for about 3 ms a MiB. */
export function verifyRangesHere(): RangeVerifier {
  return createVerifier(2, async (job) => rangeWork(job));
}

/**
 * Verifies on other threads, which {@link rangeWork} serves. While all of them have work, ranges
 * are checked on the calling thread.
 */
export function verifyRangesOn(threads: Threads): RangeVerifier {
  const onThreads = createVerifier(threads.count + 3, (job) => threads.run(job));
  const onCaller = verifyRangesHere();
  return {
    ...onThreads,
    check: (memory, chunks) => (threads.busy() ? onCaller : onThreads).check(memory, chunks),
  };
}

/** What a thread does with a job of {@link verifyRangesOn}. @throws Fault `chunk.tampered`. */
export function rangeWork({ task, memory, texts, numbers }: ThreadJob): ThreadAnswer {
  const chunks = texts.map((id, n) => packedChunk(id, numbers[2 * n], numbers[2 * n + 1]));
  switch (task) {
    case "unpack": {
      const bytes = unpackRange(memory, chunks);
      freeMemory(memory);
      return { memory: bytes, numbers: [] };
    }
    case "check": {
      const wrong = firstWrong(memory, chunks);
      return { memory, numbers: wrong === undefined ? [] : [wrong] };
    }
    default:
      throw new Fault("assert.broken", `a thread got an unknown task "${task}"`);
  }
}

/**
 * Frees memory at once. The garbage collector sees only the small objects that represent it, and
 * would let tens of megabytes pile up.
 * @param memory has its buffer to itself, and is empty afterwards.
 */
export function freeMemory(memory: Uint8Array): void {
  assert(memory.buffer instanceof ArrayBuffer, "memory that is released is not shared");
  memory.buffer.transfer(0);
}

/** {@link freeMemory} for memory that may share its buffer with others; then nothing is done. */
export function freeIfOwned(memory: Uint8Array): void {
  if (memory.buffer instanceof ArrayBuffer && memory.buffer.byteLength <= memory.byteLength + 1) freeMemory(memory);
}

function createVerifier(width: number, run: (job: ThreadJob) => Promise<ThreadAnswer>): RangeVerifier {
  return {
    width,
    unpack: async (packed, chunks) => {
      const numbers = chunks.flatMap(({ length }, n) => [length, packed[n]?.byteLength ?? 0]);
      const { memory } = await run({ task: "unpack", memory: concatenate(packed), texts: chunks.map(({ id }) => id), numbers });
      return memory;
    },
    check: async (whole, chunks) => {
      const numbers = chunks.flatMap(({ length }) => [length, 0]);
      const { memory, numbers: wrong } = await run({ task: "check", memory: whole, texts: chunks.map(({ id }) => id), numbers });
      return { memory, wrong: wrong[0] };
    },
  };
}

function packedChunk(id: string, length: number | undefined, packedBytes: number | undefined): PackedChunk {
  assert(length !== undefined && packedBytes !== undefined, "a job has two numbers for each chunk");
  return { id, length, packedBytes };
}
