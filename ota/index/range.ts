// Stretches of an image, verified chunk by chunk: on this thread or on others. [OTA-31] [OTA-33]
import { assert, Fault } from "../../hal/fault.ts";
import type { ThreadAnswer, ThreadJob, Threads } from "../../hal/ports.ts";
import type { ChunkRef } from "./format/index.ts";
import { firstWrong, concatenate, type PackedChunk, unpackRange } from "./unpack.ts";

/** Whoever calls hands its memory over, and gets memory of its own back. */
export interface RangeVerifier {
  /** Stretches on their way at once that keep it busy while others are read and written. */
  readonly width: number;
  /**
   * [OTA-31] @param packed a zstd frame for each of `chunks`, which follow each other in the image.
   * @returns their bytes, proven one by one.
   * @throws Fault `chunk.tampered`; `process.failed` when a thread ended.
   */
  unpack(packed: readonly Uint8Array[], chunks: readonly ChunkRef[]): Promise<Uint8Array>;
  /** [OTA-33] @returns the memory, and which of `chunks`, whose bytes it begins with, is the first that does not have the content of its id. */
  check(memory: Uint8Array, chunks: readonly ChunkRef[]): Promise<RangeCheck>;
}

export interface RangeCheck {
  readonly memory: Uint8Array;
  readonly wrong: number | undefined;
}

/** On the thread that calls, which is then busy for some 3 ms a MiB. */
export function verifyRangesHere(): RangeVerifier {
  return createVerifier(2, async (job) => rangeWork(job));
}

/** On other threads, which {@link rangeWork} serves. While they all have work, stretches are checked on the thread that calls. */
export function verifyRangesOn(threads: Threads): RangeVerifier {
  const there = createVerifier(threads.count + 3, (job) => threads.run(job));
  const here = verifyRangesHere();
  return {
    ...there,
    check: (memory, chunks) => (threads.busy() ? here : there).check(memory, chunks),
  };
}

/** What a thread does with a job of {@link verifyRangesOn}. @throws Fault `chunk.tampered`. */
export function rangeWork({ task, memory, texts, numbers }: ThreadJob): ThreadAnswer {
  const chunks = texts.map((id, n) => packedChunk(id, numbers[2 * n], numbers[2 * n + 1]));
  switch (task) {
    case "unpack": {
      const bytes = unpackRange(memory, chunks);
      release(memory);
      return { memory: bytes, numbers: [] };
    }
    case "check": {
      const wrong = firstWrong(memory, chunks);
      return { memory, numbers: wrong === undefined ? [] : [wrong] };
    }
    default:
      throw new Fault("assert.broken", `a thread was told to "${task}"`);
  }
}

/**
 * Gives memory that nobody needs any more back at once: the collector, which sees only the small objects that stand for it, would let tens of megabytes pile up.
 * @param memory that has its buffer to itself; it is empty afterwards.
 */
export function release(memory: Uint8Array): void {
  assert(memory.buffer instanceof ArrayBuffer, "memory that is released is not shared");
  memory.buffer.transfer(0);
}

/** {@link release}, for memory that may lie in a buffer together with others: then nothing is done. */
export function releaseOwn(memory: Uint8Array): void {
  if (memory.buffer instanceof ArrayBuffer && memory.buffer.byteLength <= memory.byteLength + 1) release(memory);
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
