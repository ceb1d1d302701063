// Sleeping on the monotonic clock, which never steps.

/**
 * Node's timers hold at most 2^31 - 1 ms and fire at once above that. Longer sleeps consist of
 * several.
 */
const TIMER_MS_MAX = 2 ** 31 - 1;

/**
 * CLOCK_MONOTONIC, clock_gettime(2): on Linux, milliseconds since boot without time in suspend. It
 * is never set, never goes back, and is the same for all processes.
 */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint() / 1_000_000n);
}

/**
 * Resolves after `delayMs`, or at once and without rejecting when `signal` aborts. A step of the
 * wall clock changes nothing, because libuv's timers run on CLOCK_MONOTONIC. They may fire a
 * fraction of a millisecond early, so the remaining time is computed again.
 */
export async function sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
  const end = monotonicMs() + delayMs;
  let left = delayMs;
  while (left > 0 && !isAborted(signal)) {
    await timer(Math.min(left, TIMER_MS_MAX), signal);
    left = end - monotonicMs();
  }
}

function isAborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true;
}

/**
 * An abort clears the timer, so that nothing keeps the process alive. The listener is removed too,
 * so that a long-lived signal does not collect listeners.
 */
function timer(delayMs: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timeout);
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const timeout = setTimeout(end, delayMs);
    signal?.addEventListener("abort", end);
  });
}
