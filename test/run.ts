// `npm test`: builds the bundles that system tests run, then every test file, with a line of progress for each and every skip with its reason.
// `npm test -- path/to/file.test.ts ...` runs only those.
import { spawn } from "node:child_process";
import { globSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { buildAll } from "../build/bundle.ts";

const PROJECT = fileURLToPath(new URL("../", import.meta.url));

interface Tally {
  passed: number;
  failed: number;
  skipped: number;
}

/** Follows tap's output: a line per file as it ends, skips and failures at once. */
function follow(line: string, tally: Tally, files: { done: number; readonly all: number }): void {
  const indent = line.length - line.trimStart().length;
  const match = /^\s*(not )?ok \d+ - (.*?)(?: # (SKIP)\s*(.*?))?(?: # time=([\d.]+)(ms|s|m))?$/u.exec(line);
  if (match === null) return;
  const [, not, title = "", skip, reason, time = "", unit = ""] = match;
  if (indent === 0 && title.endsWith(".test.ts")) {
    files.done += 1;
    console.log(
      `${String(files.done).padStart(3)}/${files.all} ${not === undefined ? "ok    " : "FAILED"} ${title} ${time === "" ? "" : `(${Math.round(Number(time))} ${unit})`}`,
    );
  } else if (indent === 4) {
    if (skip !== undefined) tally.skipped += 1;
    else if (not === undefined) tally.passed += 1;
    else tally.failed += 1;
    if (skip !== undefined) console.log(`        skipped: ${title}: ${reason ?? ""}`);
    else if (not !== undefined) console.log(`        FAILED: ${title}`);
  }
}

async function run(paths: readonly string[]): Promise<number> {
  const tally: Tally = { passed: 0, failed: 0, skipped: 0 };
  const files = { done: 0, all: paths.length };
  const failures = failureLog();
  // jobs: most tests wait for processes and clocks, so more than the cores
  const tap = spawn("tap", ["--reporter=tap", "--disable-coverage", "--jobs=4", ...paths], {
    cwd: PROJECT,
    stdio: ["ignore", "pipe", "inherit"],
    env: {
      ...process.env,
      PATH: `${PROJECT}node_modules/.bin:${process.env["PATH"]}`,
      // each file is a process of its own that loads the same modules: half of its processor time was compiling them
      SALLYPORT_TEST_BUNDLES: "fresh",
      NODE_COMPILE_CACHE: `${PROJECT}node_modules/.cache/compiled`,
    },
  });
  const ended = new Promise<number>((resolve) => tap.on("close", (code) => resolve(code ?? 1)));
  for await (const line of createInterface({ input: tap.stdout })) {
    follow(line, tally, files);
    failures.take(line);
  }
  const code = await ended;
  if (code !== 0) console.log(`\n${failures.text()}`);
  // a file that crashed outside a test counts too
  const failed = code !== 0 && tally.failed === 0 ? 1 : tally.failed;
  console.log(`\n${tally.passed} passed, ${failed} failed, ${tally.skipped} skipped`);
  return failed;
}

/** Keeps what tap says after each failure, for the end of a long run. Bounded: a suite that fails everywhere has said enough. */
function failureLog(): { take(line: string): void; text(): string } {
  const kept: string[] = [];
  let wanted = 0;
  return {
    take(line) {
      if (/^\s*not ok/u.test(line)) wanted = 40;
      if (wanted === 0 || kept.length > 2000) return;
      wanted -= 1;
      kept.push(line);
    },
    text: () => kept.join("\n"),
  };
}

const wanted = process.argv.slice(2);
if (wanted.includes("--help")) {
  console.log(
    "usage: npm test [-- FILE ...]\nRuns every test, or the files named. Skips say what the machine lacks. Exit code 0 when nothing failed.",
  );
} else {
  console.log("building the bundles");
  await buildAll();
  const paths = wanted.length > 0 ? wanted : globSync("test/**/*.test.ts", { cwd: PROJECT }).sort();
  process.exitCode = (await run(paths)) === 0 ? 0 : 1;
}
