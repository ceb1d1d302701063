// The attempts at one file. A line breaks, a mirror has a bad moment, and a portal answers in its
// place: all of that is tried again, later and later. [OTA-76] [OTA-77] [OTA-78]
import { Fault } from "../../hal/fault.ts";
import type { Clock } from "../../hal/ports.ts";
import { PartialFile } from "./partial.ts";

/** Attempts in a row without progress, including the first: three to six minutes. */
export const ATTEMPTS_MAX = 10;
const RETRY_MS_MIN = 500;
export const RETRY_MS_MAX = 120_000;
/**
 * An attempt that brought this much of the file does not count: the next one goes on from there.
 * A server that cuts after every byte gets no more attempts by that.
 */
export const PROGRESS_BYTES_MIN = 4_096;

export interface Attempts {
  readonly clock: Pick<Clock, "sleep">;
  /** In [0, 1). It spreads the attempts of a fleet. */
  readonly random: () => number;
  readonly signal?: AbortSignal;
  /** Called after each attempt that failed and is made again. */
  readonly onBroken?: () => void;
}

/**
 * @param attempt gets what earlier attempts have brought, and adds to it.
 * @throws Fault of the last attempt; at once for what another attempt would not change, and for a
 *   server that asks to be left alone for longer than {@link RETRY_MS_MAX}; `update.aborted`.
 */
export async function withAttempts<T>(job: Attempts, attempt: (partial: PartialFile) => Promise<T>): Promise<T> {
  const { signal, clock, random, onBroken } = job;
  let partial = new PartialFile();
  for (let number = 1; ; number += 1) {
    if (signal?.aborted === true) throw new Fault("update.aborted", "fetch: cancelled", { cause: signal.reason });
    const before = partial.length;
    try {
      return await attempt(partial);
    } catch (error) {
      if (!(error instanceof Fault) || !isTransient(error)) throw error;
      if (isWrongContent(error)) partial = new PartialFile();
      if (partial.length - before >= PROGRESS_BYTES_MIN) number = 1;
      const askedMs = error.retryAfterMs ?? 0;
      if (number >= ATTEMPTS_MAX || askedMs > RETRY_MS_MAX) throw error;
      onBroken?.();
      // half of it is fixed: what lasts for minutes must not meet all attempts by chance
      const delayMs = Math.min(RETRY_MS_MIN * 2 ** number, RETRY_MS_MAX) * (0.5 + random() / 2);
      await clock.sleep(Math.max(delayMs, askedMs), signal);
    }
  }
}

/**
 * A mirror may have a bad copy or a bad moment. A certificate or a disk does not change when it is
 * asked again.
 */
function isTransient({ code }: Fault): boolean {
  return code.startsWith("fetch.") || code === "chunk.tampered";
}

function isWrongContent({ code }: Fault): boolean {
  return code === "chunk.tampered" || code === "fetch.bad-response";
}
