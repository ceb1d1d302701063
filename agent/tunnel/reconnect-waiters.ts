// The callers that wait for a new connection. An attempt that was in progress at the call does not
// count, because its TCP and TLS connections are older than the call. [LCK-35]
import { Fault } from "../../hal/fault.ts";

export interface ReconnectWaiters {
  /** Counts an attempt to connect that begins now. @returns its number. */
  beginAttempt(): number;
  /** Resolves the callers that waited before `attempt` began, which now has its session. */
  resolveWaiters(attempt: number): void;
  /**
   * Resolves at the first session of an attempt that begins after this call.
   * @throws Fault `tunnel.closed` when `signal` aborts first.
   */
  wait(signal: AbortSignal): Promise<void>;
}

export function createReconnectWaiters(): ReconnectWaiters {
  let attempts = 0;
  const waiting = new Set<{ readonly after: number; readonly resolve: () => void }>();
  return {
    beginAttempt: () => (attempts += 1),
    resolveWaiters: (attempt) => {
      for (const waiter of waiting) if (attempt > waiter.after) waiter.resolve();
    },
    wait: async (signal) => {
      const { promise, resolve } = Promise.withResolvers<boolean>();
      const waiter = { after: attempts, resolve: () => resolve(true) };
      const cancel = (): void => resolve(false);
      waiting.add(waiter);
      signal.addEventListener("abort", cancel, { once: true });
      if (signal.aborted) cancel();
      const renewed = await promise;
      waiting.delete(waiter);
      signal.removeEventListener("abort", cancel);
      if (!renewed)
        throw new Fault("tunnel.closed", "wait for a new connection: cancelled before there was one", { cause: signal.reason });
    },
  };
}
