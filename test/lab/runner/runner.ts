// Runs test files with tap and reports progress: a line per file, every skip with its reason, every
// failure at once and once more in full at the end.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import { PROJECT } from "./sources.ts";

export interface Suite {
  /** Of the test files, relative to the project. */
  readonly paths: readonly string[];
  /** Runs only the tests whose title it matches; all when undefined. */
  readonly title?: RegExp | undefined;
  /** Builds what the files share, before any of them starts: several run at the same time. */
  readonly prepare: (() => Promise<void>) | undefined;
  readonly jobs: number;
  /** A file that runs longer counts as hanging and is ended. When left out, .taprc decides. */
  readonly fileTimeoutS?: number;
  /** A run that takes longer counts as hanging, and is ended as failed. */
  readonly runTimeoutS: number;
  /** Prints when a file begins and which assertions hold: for tests that take minutes. */
  readonly inSteps?: boolean;
  /** Lines of tap's output that are printed for each failure. */
  readonly failureLines: number;
  readonly env?: Readonly<Record<string, string>>;
  /** @returns what else to print about a file that failed, at the end. */
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
  // tap skips a file that does not exist without a word
  const none = suite.paths.find((path) => !existsSync(resolve(PROJECT, path)));
  if (none !== undefined) {
    console.log(`FAILED ${none}: there is no such file\n\n0 passed, 1 failed, 0 skipped`);
    return 1;
  }
  await suite.prepare?.();
  const tally: Tally = { passed: 0, failed: 0, skipped: 0, failedFiles: [] };
  const progress = follower(suite, tally);
  const failures = failureLog(suite.failureLines);
  const tap = spawn("tap", [...tapArguments(suite), ...suite.paths], {
    cwd: PROJECT,
    stdio: ["ignore", "pipe", "inherit"],
    env: {
      ...process.env,
      ...suite.env,
      PATH: `${PROJECT}node_modules/.bin:${process.env["PATH"]}`,
      // Each file is a process that loads the same modules; half of its CPU time was compiling
      // them.
      NODE_COMPILE_CACHE: `${PROJECT}node_modules/.cache/compiled`,
    },
  });
  const ended = new Promise<number>((resolve) => tap.on("close", (code) => resolve(code ?? 1)));
  const hanging = setTimeout(() => {
    console.log(`FAILED: the run has not ended after ${suite.runTimeoutS} s`);
    tap.kill(); // tap ends its files on SIGTERM and reports them
  }, suite.runTimeoutS * 1000);
  for await (const line of createInterface({ input: tap.stdout })) {
    progress(line);
    failures.take(line);
  }
  const code = await ended;
  clearTimeout(hanging);
  if (code !== 0) console.log(`\n${failures.text()}`);
  for (const path of tally.failedFiles) {
    const more = await suite.explain?.(path);
    if (more !== undefined && more !== "") console.log(`\n${more}`);
  }
  // tap itself can fail although no file did
  if (code !== 0 && tally.failed === 0) tally.failed = 1;
  console.log(`\n${tally.passed} passed, ${tally.failed} failed, ${tally.skipped} skipped`);
  return tally.failed;
}

function tapArguments({ jobs, fileTimeoutS, title }: Suite): readonly string[] {
  return [
    "--reporter=tap",
    "--disable-coverage",
    `--jobs=${jobs}`,
    ...(fileTimeoutS === undefined ? [] : [`--timeout=${fileTimeoutS}`]),
    ...(title === undefined ? [] : [`--grep=${title}`]),
  ];
}

const RESULT = /^\s*(not )?ok \d+ - (.*?)(?: # (SKIP)\s*(.*?))?(?: # time=([\d.]+)(ms|s|m))?$/u;
/** tap writes a fault's message as one line, and a fault may carry the end of a transcript. */
const TITLE_CHARACTERS_MAX = 240;
/** tap's reason for a test that --grep leaves out. */
const NOT_CHOSEN = "filter: ";
const FILE_BEGINS = /^# Subtest: (\S+\.ts)$/u;

/**
 * Reads tap's output, which is nested: files at the margin, then their tests, then the assertions.
 * The lines of one file come together, also when several files run.
 */
function follower({ paths, inSteps = false }: Suite, tally: Tally): (line: string) => void {
  const files = { done: 0, all: paths.length };
  let failedInFile = 0;
  const fileEnded = (path: string, failed: boolean, took: string): void => {
    files.done += 1;
    console.log(`${String(files.done).padStart(3)}/${files.all} ${failed ? "FAILED" : "ok    "} ${path} ${took}`.trimEnd());
    if (failed) tally.failedFiles.push(path);
    // The file crashed outside its tests.
    if (failed && failedInFile === 0) tally.failed += 1;
    failedInFile = 0;
  };
  const testEnded = (title: string, failed: boolean, skipped: string | undefined, took: string): void => {
    if (skipped?.startsWith(NOT_CHOSEN) === true) return;
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

/**
 * Keeps what tap prints after each failure, for the end of a long run. It is bounded: after 2000
 * lines, more failures add nothing.
 */
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
