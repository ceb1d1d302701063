// Threads that work on memory transferred to them.
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { asFault, assert, Fault } from "../../fault.ts";
import type { ThreadAnswer, ThreadJob, Threads } from "../../ports.ts";
import { answerMessage, ownBuffer } from "./message.ts";
import { check } from "../../format/schema.ts";

/**
 * V8's own heap of a thread; the memory it works on lies outside. Young objects are few, and a
 * bundle and its garbage fit into the rest three times over.
 */
const THREAD_YOUNG_MB = 1;
const THREAD_OLD_MB = 16;

export interface ThreadsOptions {
  /**
   * The file that runs in each thread and calls {@link serveThread} there: the program's own,
   * `import.meta.url` of its main.ts.
   */
  readonly file: string;
  /** The number of threads, but never more than the machine has processors. */
  readonly countMax: number;
  /**
   * V8's heap of each thread, in MiB. A program that runs from sources instead of a bundle needs
   * more.
   */
  readonly heapMbMax?: number;
}

/** Each thread costs about 9 MiB. The caller must close them. */
export function startThreads({ file, countMax, heapMbMax = THREAD_OLD_MB }: ThreadsOptions): Threads {
  const count = Math.max(1, Math.min(countMax, availableParallelism()));
  const threads = Array.from({ length: count }, () => startThread(new URL(file), heapMbMax));
  return {
    count,
    busy: () => threads.every((thread) => thread.waiting() > 0),
    run: (job) => {
      const idlest = threads.reduce((best, thread) => (thread.waiting() < best.waiting() ? thread : best));
      return idlest.run(job);
    },
    close: async () => void (await Promise.all(threads.map((thread) => thread.close()))),
  };
}

interface Thread {
  waiting(): number;
  run(job: ThreadJob): Promise<ThreadAnswer>;
  close(): Promise<void>;
}

function startThread(file: URL, heapMbMax: number): Thread {
  const worker = new Worker(file, {
    resourceLimits: { maxYoungGenerationSizeMb: THREAD_YOUNG_MB, maxOldGenerationSizeMb: heapMbMax },
  });
  /** In the order in which the thread answers. */
  const waiting: PromiseWithResolvers<ThreadAnswer>[] = [];
  let ended: Fault | undefined;
  const end = (fault: Fault): void => {
    ended ??= fault;
    for (const { reject } of waiting.splice(0)) reject(ended);
  };
  worker.on("message", (message: unknown) => {
    const answer = check(answerMessage, message, "answer of a thread", "assert.broken");
    const request = waiting.shift();
    assert(request !== undefined, "a thread answers what it was request");
    if ("fault" in answer) request.reject(new Fault(answer.fault.code, answer.fault.message));
    else request.resolve(answer);
  });
  worker.on("error", (error) => end(asFault(error, "process.failed", "run a thread")));
  worker.on("exit", (code) => end(new Fault("process.failed", `run a thread: it ended with code ${code}`)));
  return {
    waiting: () => (ended === undefined ? waiting.length : Infinity),
    run: async (job) => {
      if (ended !== undefined) throw ended;
      worker.postMessage(job, [ownBuffer(job.memory)]);
      const request = Promise.withResolvers<ThreadAnswer>();
      waiting.push(request);
      return request.promise;
    },
    close: async () => void (await worker.terminate()),
  };
}
