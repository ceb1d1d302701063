// Where a program of ours lies, for tests that start it.
import { join } from "node:path";
import { PROJECT } from "./sources.ts";

const ENTRIES = {
  "sallyport-agent": "agent/main.ts",
  "sallyport-warden": "warden/main.ts",
  "sallyport-hub": "hub/main.ts",
  "sallyport-release": "build/release/main.ts",
  sallyport: "agent/cli/main.ts",
} as const;

/** As it is shipped where the runner has just built it, else from its source: a bundle that somebody built some time ago would test what was. */
export function programFile(name: keyof typeof ENTRIES): string {
  return bundlesAreFresh() ? join(PROJECT, "dist", name, "main.js") : join(PROJECT, ENTRIES[name]);
}

/** Whether the runner has just built them. Then nobody may build them again: other tests run from them. */
export function bundlesAreFresh(): boolean {
  return process.env["SALLYPORT_TEST_BUNDLES"] === "fresh";
}
