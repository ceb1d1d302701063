// The command line of `npm test`: which files run, and which tests in them.
import { globSync, statSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { asFault } from "../../../hal/fault.ts";
import { PROJECT } from "./sources.ts";

export const USAGE = `usage: npm test [-- [--grep TEXT] [FILE | FOLDER ...]]
  FILE         a test file, for instance test/ota/trust/rollback.test.ts
  FOLDER       all test files below it, for instance test/ota
  --grep TEXT  only tests whose title contains TEXT in any case, for instance --grep "[OTA-5]"
Runs every test when no file is named. The bundles under dist/ are built first only when a chosen
file starts a program of ours. Skipped tests say what the machine lacks. A file that runs for more
than 30 minutes counts as hanging. Exit code 0 when nothing failed, 1 when a test failed, 2 when the
command line is wrong.
Whole gateways in an emulator: npm run test:gateway.`;

export interface Selection {
  readonly help: boolean;
  /** Test files, relative to the project. */
  readonly paths: readonly string[];
  /** Of the titles of tests; all when undefined. */
  readonly title: RegExp | undefined;
}

/** @throws Fault `usage.invalid`. */
export function selectTests(argv: readonly string[]): Selection {
  const options = { grep: { type: "string" }, help: { type: "boolean", default: false } } as const;
  try {
    const { values, positionals } = parseArgs({ args: [...argv], options, allowPositionals: true });
    return {
      help: values.help,
      paths: positionals.length === 0 ? testsBelow("test") : positionals.flatMap(testsAt),
      title: values.grep === undefined ? undefined : literally(values.grep),
    };
  } catch (error) {
    throw asFault(error, "usage.invalid", "read the command line");
  }
}

function testsAt(path: string): readonly string[] {
  const isFolder = statSync(join(PROJECT, path), { throwIfNoEntry: false })?.isDirectory() ?? false;
  return isFolder ? testsBelow(path) : [path];
}

function testsBelow(folder: string): readonly string[] {
  return globSync(`${folder}/**/*.test.ts`, { cwd: PROJECT }).sort();
}

function literally(text: string): RegExp {
  return new RegExp(text.replaceAll(/[$()*+.?[\\\]^{|}/]/gu, "\\$&"), "iu");
}
