// Where Debian's packages come from: the machine's own mirrors, with all that was mended since the release.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Fault } from "../../hal/fault.ts";
import { hasCode } from "../errno.ts";
import { SUITE } from "./packages.ts";
import { PROJECT } from "./paths.ts";

/** Written by build/parts.sh, at each of its runs. */
export const SOURCES = join(PROJECT, ".parts/debian13/sources/debian13.sources");

/** What is fixed comes out in the last one first, and in the first one every few months. */
export const SUITES: readonly string[] = [SUITE, `${SUITE}-updates`, `${SUITE}-security`];

/**
 * The file's content, sources.list(5). A mirror that then lacks one of {@link SUITES} ends mmdebstrap, in apt's words: there is no image without.
 * @throws Fault `usage.invalid` where one is not named.
 */
export async function readSources(file: string = SOURCES): Promise<string> {
  const text = await readFile(file, "utf8").catch((error: unknown) => {
    if (hasCode(error, "ENOENT")) throw new Fault("usage.invalid", `find Debian ${SUITE}: first run sh build/parts.sh as root`);
    throw error;
  });
  const found = new Set([...text.matchAll(/^Suites:(.+)$/gmu)].flatMap(([, suites = ""]) => suites.trim().split(/\s+/u)));
  const missing = SUITES.filter((suite) => !found.has(suite));
  if (missing.length === 0) return text;
  throw new Fault(
    "usage.invalid",
    `find ${missing.join(" and ")}: a gateway is not made without Debian's updates; say in /etc/apt where this machine gets its own, then run sh build/parts.sh as root`,
  );
}
