// The sources of Debian's packages: the machine's own mirrors, with all updates since the release.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Fault } from "../../hal/fault.ts";
import { hasCode } from "../errno.ts";
import { SUITE } from "./packages.ts";
import { PROJECT } from "./paths.ts";

/** build/parts.sh writes this file at each run. */
export const SOURCES = join(PROJECT, ".parts/debian13/sources/debian13.sources");

/** A fix is published first in the last suite, and every few months in the first one. */
export const SUITES: readonly string[] = [SUITE, `${SUITE}-updates`, `${SUITE}-security`];

/**
 * @returns the file's content, sources.list(5). If a mirror lacks one of {@link SUITES}, mmdebstrap
 *   fails with apt's message: no image is made without updates.
 * @throws Fault `usage.invalid` when the file lacks a suite.
 */
export async function readSources(file: string = SOURCES): Promise<string> {
  const text = await readFile(file, "utf8").catch((error: unknown) => {
    if (hasCode(error, "ENOENT")) throw new Fault("usage.invalid", `find Debian ${SUITE}: first run, as root: sh build/parts.sh`);
    throw error;
  });
  const found = new Set([...text.matchAll(/^Suites:(.+)$/gmu)].flatMap(([, suites = ""]) => suites.trim().split(/\s+/u)));
  const missing = SUITES.filter((suite) => !found.has(suite));
  if (missing.length === 0) return text;
  throw new Fault(
    "usage.invalid",
    `find ${missing.join(" and ")}: no image is made without Debian's updates; add this machine's update sources to /etc/apt, then run, as root: sh build/parts.sh`,
  );
}
