// A repository whose server may be of another pin than the one that is asked first. [ID-87]
import { Fault } from "../../hal/fault.ts";
import type { HttpRepository } from "./client.ts";

/**
 * @param count of pins. With one there is nothing to choose.
 * @param make a repository that asks the pin `first` first.
 * @returns the repository of the pin that fits, which is looked for when OpenSSL has tried the key
 *   of another pin of the same name.
 */
export function createRepositoryByPins(count: number, make: (first: number) => HttpRepository): HttpRepository {
  let first = 0;
  let current = make(first);
  /** Other requests may be under way there. */
  const left: HttpRepository[] = [];
  const another = (tried: HttpRepository): void => {
    if (tried !== current) return; // of several requests at once, one looks for the next
    left.push(tried);
    first = (first + 1) % count;
    current = make(first);
  };
  return {
    async get(...request) {
      for (let tries = count; ; tries -= 1) {
        const used = current;
        try {
          return await used.get(...request);
        } catch (error) {
          if (tries <= 1 || !isSignatureFailure(error)) throw error;
          another(used);
        }
      }
    },
    close: () => {
      for (const one of [...left, current]) one.close();
    },
  };
}

function isSignatureFailure(error: unknown): boolean {
  if (!(error instanceof Fault)) return false;
  const { cause } = error;
  return cause instanceof Error && "code" in cause && cause.code === "CERT_SIGNATURE_FAILURE";
}
