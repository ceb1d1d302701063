// The last known value of each key: it stands in while the kernel is busy.
import { Fault } from "../../fault.ts";

export interface LastKnown<T> {
  /**
   * Reads the value of `key` and remembers it.
   * @returns what `read` returned. While the kernel is busy, the last known value, or undefined
   *   when there is none; undefined too when the value cannot be read.
   */
  readOrRecall(key: string, read: () => Promise<T>): Promise<T | undefined>;
  set(key: string, value: T): void;
  forget(key: string): void;
  /** Forgets every key that is not among `keys`. */
  retain(keys: ReadonlySet<string>): void;
}

export function createLastKnown<T>(): LastKnown<T> {
  const values = new Map<string, T>();
  return {
    readOrRecall: async (key, read) => {
      try {
        const value = await read();
        values.set(key, value);
        return value;
      } catch (error) {
        if (error instanceof Fault && error.code === "usb.busy") return values.get(key);
        values.delete(key);
        if (error instanceof Fault && error.code === "usb.unreadable") return undefined;
        throw error;
      }
    },
    set: (key, value) => void values.set(key, value),
    forget: (key) => void values.delete(key),
    retain: (keys) => {
      for (const key of values.keys()) if (!keys.has(key)) values.delete(key);
    },
  };
}
