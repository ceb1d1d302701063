// A reader with a timeout. A read that times out loses no bytes: the next read gets them.
import type { Clock } from "../../hal/ports.ts";

export type TimedRead =
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  | { readonly kind: "end" }
  | { readonly kind: "idle" };

export interface TimedReader {
  /**
   * @returns the next bytes, the end of the input, or `idle` when nothing arrived for `msMax`. Must
   *   not be called while an earlier call is pending.
   */
  next(msMax?: number): Promise<TimedRead>;
}

export function createTimedReader(input: AsyncIterable<Uint8Array>, clock: Clock): TimedReader {
  const iterator = input[Symbol.asyncIterator]();
  let pending: Promise<TimedRead> | undefined;

  async function read(): Promise<TimedRead> {
    const result = await iterator.next();
    return result.done === true ? { kind: "end" } : { kind: "bytes", bytes: result.value };
  }

  return {
    async next(msMax) {
      pending ??= read();
      const arrived = new AbortController();
      const idle = async (): Promise<TimedRead> => {
        await clock.sleep(msMax ?? 0, arrived.signal);
        return { kind: "idle" };
      };
      try {
        const result = await (msMax === undefined ? pending : Promise.race([pending, idle()]));
        if (result.kind !== "idle") pending = undefined;
        return result;
      } finally {
        arrived.abort();
      }
    },
  };
}
