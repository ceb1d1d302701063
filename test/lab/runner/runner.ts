// Runs test files with tap and says how it goes: a line per file, every skip with its reason, failures at once and again in full at the end.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import { PROJECT } from "./sources.ts";

export interface Suite {
  /** Of the test files, from the project's folder. */
  readonly paths: readonly string[];
  /** Builds the bundles, and whatever else the files share: they may run at the same time. */
  readonly prepare: () => Promise<void>;
  readonly jobs: number;
  /** Above it a file counts as hanging and is ended. tap's own when left out. */
  readonly fileTimeoutS?: number;
  /** Whether to say when a file begins and which of a test's assertions hold: for tests that take minutes. */
  readonly inSteps?: boolean;
  /** Lines of tap's that are kept of each failure. */
  readonly failureLines: number;
  readonly env?: Readonly<Record<string, string>>;
  /** @returns more to say of a file that failed, at the end. */
  readonly explain?: (path: string) => Promise<string>;
}

interface Tally {
  passed: number;
  failed: number;
  skipped: number;
  readonly failedFiles: string[];
}

/** @returns how many tests failed, after the last line "N passed, N failed, N skipped". */
export async function runFiles(suite: Suite): Promise<number> {
  // tap passes over a name that is none
  const none = suite.paths.find((path) => !existsSync(resolve(PROJECT, path)));
  if (none !== undefined) {
    console.log(`FAILED ${none}: there is no such file\n\n0 passed, 1 failed, 0 skipped`);
    return 1;
  }
  await suite.prepare();
  const tally: Tally = { passed: 0, failed: 0, skipped: 0, failedFiles: [] };
  const progress = follower(suite, tally);
  const failures = failureLog(suite.failureLines);
  const timeout = suite.fileTimeoutS === undefined ? [] : [`--timeout=${suite.fileTimeoutS}`];
  const tap = spawn("tap", ["--reporter=tap", "--disable-coverage", `--jobs=${suite.jobs}`, ...timeout, ...suite.paths], {
    cwd: PROJECT,
    stdio: ["ignore", "pipe", "inherit"],
    env: {
      ...process.env,
      ...suite.env,
      PATH: `${PROJECT}node_modules/.bin:${process.env["PATH"]}`,
      // each file is a process of its own that loads the same modules: half of its processor time was compiling them
      SALLYPORT_TEST_BUNDLES: "fresh",
      NODE_COMPILE_CACHE: `${PROJECT}node_modules/.cache/compiled`,
    },
  });
  const ended = new Promise<number>((resolve) => tap.on("close", (code) => resolve(code ?? 1)));
  for await (const line of createInterface({ input: tap.stdout })) {
    progress(line);
    failures.take(line);
  }
  const code = await ended;
  if (code !== 0) console.log(`\n${failures.text()}`);
  for (const path of tally.failedFiles) {
    const more = await suite.explain?.(path);
    if (more !== undefined && more !== "") console.log(`\n${more}`);
  }
  // tap may fail without a file that does
  if (code !== 0 && tally.failed === 0) tally.failed = 1;
  console.log(`\n${tally.passed} passed, ${tally.failed} failed, ${tally.skipped} skipped`);
  return tally.failed;
}

const RESULT = /^\s*(not )?ok \d+ - (.*?)(?: # (SKIP)\s*(.*?))?(?: # time=([\d.]+)(ms|s|m))?$/u;
/** tap makes one line of a fault's words, and a fault may carry the end of a transcript. */
const TITLE_CHARACTERS_MAX = 240;
const FILE_BEGINS = /^# Subtest: (\S+\.ts)$/u;

/** What tap writes is nested: at the margin the files, then their tests, then what these assert. A file's lines come together, also where several run. */
function follower({ paths, inSteps = false }: Suite, tally: Tally): (line: string) => void {
  const files = { done: 0, all: paths.length };
  let failedInFile = 0;
  const fileEnded = (path: string, failed: boolean, took: string): void => {
    files.done += 1;
    console.log(`${String(files.done).padStart(3)}/${files.all} ${failed ? "FAILED" : "ok    "} ${path} ${took}`.trimEnd());
    if (failed) tally.failedFiles.push(path);
    // it crashed outside its tests
    if (failed && failedInFile === 0) tally.failed += 1;
    failedInFile = 0;
  };
  const testEnded = (title: string, failed: boolean, skipped: string | undefined, took: string): void => {
    if (skipped !== undefined) tally.skipped += 1;
    else if (failed) tally.failed += 1;
    else tally.passed += 1;
    if (failed) failedInFile += 1;
    if (skipped !== undefined) console.log(`        skipped: ${title}: ${skipped}`);
    else if (failed) console.log(`        FAILED: ${title}`);
    else if (inSteps) console.log(`        ok: ${title} ${took}`);
  };
  return (line) => {
    const begins = FILE_BEGINS.exec(line)?.[1];
    if (begins !== undefined && inSteps) console.log(`        ${begins}`);
    const [words, not, title = "", skip, reason = "", time = "", unit = ""] = RESULT.exec(line) ?? [];
    if (words === undefined) return;
    const took = time === "" ? "" : `(${Math.round(Number(time))} ${unit})`;
    const indent = line.length - line.trimStart().length;
    if (indent === 0 && title.endsWith(".ts")) fileEnded(title, not !== undefined, took);
    else if (indent === 4) testEnded(title, not !== undefined, skip === undefined ? undefined : reason, took);
    else if (indent === 8 && inSteps)
      console.log(`          ${not === undefined ? "-" : "FAILED:"} ${title.slice(0, TITLE_CHARACTERS_MAX)} ${took}`.trimEnd());
  };
}

/** Keeps what tap says after each failure, for the end of a long run. Bounded: a suite that fails everywhere has said enough. */
function failureLog(linesEach: number): { take(line: string): void; text(): string } {
  const kept: string[] = [];
  let wanted = 0;
  return {
    take(line) {
      if (/^\s*not ok/u.test(line)) wanted = linesEach;
      if (wanted === 0 || kept.length > 2000) return;
      wanted -= 1;
      kept.push(line);
    },
    text: () => kept.join("\n"),
  };
}
