// Telling what happens too often to tell each time.
import type { Bucket } from "./bucket.ts";

/** @returns what to call with each; `tell` gets those the bucket has a token for, and how many it did not get since the last. Its answer is passed on. */
export function paced<T, R>(bucket: Pick<Bucket, "take">, tell: (what: T, withheld: number) => R): (what: T) => R | undefined {
  let withheld = 0;
  return (what) => {
    if (!bucket.take()) {
      withheld += 1;
      return undefined;
    }
    const count = withheld;
    withheld = 0;
    return tell(what, count);
  };
}

/** A line that says how many like it were not written. */
export function pacedLines(bucket: Pick<Bucket, "take">, log: (line: string) => void): (line: string) => void {
  return paced(bucket, (line, withheld) => log(withheld === 0 ? line : `${line} (${withheld} more like it were not written)`));
}
