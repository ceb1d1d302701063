// State files in memory, for a client that forgets: somebody who checks a repository before it is
// published or before an order is signed.
import type { DurableFiles } from "../../hal/ports.ts";

export function createMemoryFiles(): DurableFiles {
  const contents = new Map<string, Uint8Array>();
  return {
    get: async (name) => contents.get(name),
    put: async (name, bytes) => void contents.set(name, bytes),
    remove: async (name) => void contents.delete(name),
  };
}
