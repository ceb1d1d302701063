// The files of our own programs, for tests that start them.
import { join } from "node:path";
import { PROJECT } from "./sources.ts";

const ENTRIES = {
  "sallyport-agent": "agent/main.ts",
  "sallyport-warden": "warden/main.ts",
  "sallyport-hub": "hub/main.ts",
  "sallyport-release": "build/release/main.ts",
  sallyport: "agent/cli/main.ts",
} as const;

/** The environment in which a runner says that it has just built the bundles. */
export const FRESH_BUNDLES = { SALLYPORT_TEST_BUNDLES: "fresh" } as const;

/**
 * @returns the bundle, as it is shipped, when the runner has just built it, and else the source. A
 * bundle of an earlier build would test an earlier program.
 */
export function programFile(name: keyof typeof ENTRIES): string {
  return bundlesAreFresh() ? join(PROJECT, "dist", name, "main.js") : join(PROJECT, ENTRIES[name]);
}

/** When the runner has just built them, no test may build them again: other tests run from them. */
export function bundlesAreFresh(): boolean {
  return process.env["SALLYPORT_TEST_BUNDLES"] === FRESH_BUNDLES.SALLYPORT_TEST_BUNDLES;
}
