// What the kernel said the last time, for while it is busy.
import { Fault } from "../../fault.ts";

export interface Memory<T> {
  /** @returns what `ask` does; while the kernel is busy what it said of `key` the last time; undefined when it never did, or when that can't be read. */
  ask(key: string, ask: () => Promise<T>): Promise<T | undefined>;
  learn(key: string, said: T): void;
  forget(key: string): void;
  /** Forgets all but these. */
  forgetOthers(keys: ReadonlySet<string>): void;
}

export function createMemory<T>(): Memory<T> {
  const said = new Map<string, T>();
  return {
    ask: async (key, ask) => {
      try {
        const answer = await ask();
        said.set(key, answer);
        return answer;
      } catch (error) {
        if (error instanceof Fault && error.code === "usb.busy") return said.get(key);
        said.delete(key);
        if (error instanceof Fault && error.code === "usb.unreadable") return undefined;
        throw error;
      }
    },
    learn: (key, answer) => void said.set(key, answer),
    forget: (key) => void said.delete(key),
    forgetOthers: (keys) => {
      for (const key of said.keys()) if (!keys.has(key)) said.delete(key);
    },
  };
}
