// What a bundled program loads of the files beside it, by the imports in their texts.
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";

/** @returns the program's own file and the files that it imports, and those that they import. */
export async function filesLoaded(main: string): Promise<readonly string[]> {
  const seen = new Set([main]);
  // A set that grows while it is walked is walked to its new end.
  for (const file of seen)
    for (const [, specifier = ""] of (await readFile(file, "utf8")).matchAll(/(?:from|import)"(\.[^"]+)"/gu))
      seen.add(join(dirname(file), specifier));
  return [...seen];
}
