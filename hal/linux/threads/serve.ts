// The code that runs inside a thread.
import { isMainThread, parentPort } from "node:worker_threads";
import { asFault } from "../../fault.ts";
import type { ThreadAnswer, ThreadJob } from "../../ports.ts";
import { type AnswerMessage, jobMessage, ownBuffer } from "./message.ts";
import { check } from "../../format/schema.ts";

/**
 * True when this program was started as a thread by {@link startThreads}. One file serves both
 * purposes, so its main.ts asks this first.
 */
export function inThread(): boolean {
  return !isMainThread && parentPort !== null;
}

/**
 * Does `work` for each job, one after the other, until the thread is ended. A fault of `work` goes
 * to the caller that gave the job.
 */
export function serveThread(work: (job: ThreadJob) => ThreadAnswer): void {
  const port = parentPort;
  port?.on("message", (message: unknown) => {
    const answer = attempt(work, message);
    port.postMessage(answer, "memory" in answer ? [ownBuffer(answer.memory)] : []);
  });
}

function attempt(work: (job: ThreadJob) => ThreadAnswer, message: unknown): AnswerMessage {
  try {
    const { memory, numbers } = work(check(jobMessage, message, "job of a thread", "assert.broken"));
    return { memory, numbers: [...numbers] };
  } catch (error) {
    const { code, message: text } = asFault(error, "assert.broken", "work on a thread");
    return { fault: { code, message: text } };
  }
}
