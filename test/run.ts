// `npm test`: builds the bundles that system tests run, then every test file, with a line of progress for each and every skip with its reason.
// `npm test -- path/to/file.test.ts ...` runs only those.
import { globSync } from "node:fs";
import { buildAll } from "../build/bundle.ts";
import { runFiles } from "./lab/runner/runner.ts";
import { PROJECT } from "./lab/runner/sources.ts";

async function build(): Promise<void> {
  console.log("building the bundles");
  await buildAll();
}

const wanted = process.argv.slice(2);
if (wanted.includes("--help")) {
  console.log(
    "usage: npm test [-- FILE ...]\nRuns every test, or the files named. Skips say what the machine lacks. Exit code 0 when nothing failed.\nWhole gateways in an emulator: npm run test:gateway.",
  );
} else {
  const paths = wanted.length > 0 ? wanted : globSync("test/**/*.test.ts", { cwd: PROJECT }).sort();
  // jobs: most tests wait for processes and clocks, so more than the cores
  process.exitCode = (await runFiles({ paths, prepare: build, jobs: 4, failureLines: 40 })) === 0 ? 0 : 1;
}
