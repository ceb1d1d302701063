// Who waits for a connection that begins from now on. An attempt that was under way when they asked does not count: its TCP and TLS are from before. [LCK-13]
import { Fault } from "../../hal/fault.ts";

export interface ReconnectWaiters {
  /** An attempt to connect begins. @returns its number. */
  began(): number;
  /** The attempt of that number has become a session. */
  serving(began: number): void;
  /** Resolves with the first session of an attempt that begins after this call. @throws Fault `tunnel.closed` when `signal` aborts first. */
  wait(signal: AbortSignal): Promise<void>;
}

export function createReconnectWaiters(): ReconnectWaiters {
  let attempts = 0;
  const waiting = new Set<{ readonly after: number; readonly resolve: () => void }>();
  return {
    began: () => (attempts += 1),
    serving: (began) => {
      for (const waiter of waiting) if (began > waiter.after) waiter.resolve();
    },
    wait: async (signal) => {
      const { promise, resolve } = Promise.withResolvers<boolean>();
      const waiter = { after: attempts, resolve: () => resolve(true) };
      const giveUp = (): void => resolve(false);
      waiting.add(waiter);
      signal.addEventListener("abort", giveUp, { once: true });
      if (signal.aborted) giveUp();
      const renewed = await promise;
      waiting.delete(waiter);
      signal.removeEventListener("abort", giveUp);
      if (!renewed)
        throw new Fault("tunnel.closed", "wait for a new connection: given up before there was one", { cause: signal.reason });
    },
  };
}
