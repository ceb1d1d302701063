// The pace of a service's lines.
import { mock } from "node:test";
import { test } from "tap";
import { LINE_KINDS_MAX, LINE_PERIOD_MS, LINES_BURST_MAX, paceLines } from "../../hal/line-pace.ts";
import { projectFiles, readProjectFile } from "../lab/runner/sources.ts";

interface Paced {
  readonly say: (line: string) => void;
  readonly written: string[];
  readonly pass: (ms: number) => void;
}

/** A pace on a clock that the test moves, timers included. */
function paced(t: { teardown(act: () => void): void }): Paced {
  const written: string[] = [];
  let nowMs = 0;
  mock.timers.enable({ apis: ["setTimeout"] });
  t.teardown(() => mock.timers.reset());
  return {
    say: paceLines((line) => void written.push(line), { monotonicMs: () => nowMs }),
    written,
    pass: (ms) => {
      nowMs += ms;
      mock.timers.tick(ms);
    },
  };
}

const link = (n: number): string => `trouble: file.not-regular: take "f-${n}": it is not a regular file`;

test("[OPS-36] the first lines of a kind are written, then one a minute with the count of the others", async (t) => {
  const { say, written, pass } = paced(t);
  for (let n = 0; n < 1000; n++) say(link(n));
  t.equal(written.length, LINES_BURST_MAX);
  pass(LINE_PERIOD_MS);
  t.same(written.slice(LINES_BURST_MAX), [`${link(999)} (${1000 - LINES_BURST_MAX - 1} more like it were not written)`]);
  pass(LINE_PERIOD_MS);
  t.equal(written.length, LINES_BURST_MAX + 1, "nothing is left to tell");
  say(link(1001));
  t.equal(written.at(-1), link(1001));
});

test("[OPS-36] a flood of one kind hides no line of another", async (t) => {
  const { say, written } = paced(t);
  for (let n = 0; n < 1000; n++) say(link(n));
  say("trouble: audit.full: the log is full");
  say("stopped by SIGTERM");
  t.same(written.slice(-2), ["trouble: audit.full: the log is full", "stopped by SIGTERM"]);
});

test("[OPS-36] kinds that somebody invents are one kind beyond the bound, and quiet kinds make room", async (t) => {
  const { say, written, pass } = paced(t);
  const name = (n: number): string => String(n).replace(/[0-9]/gu, (digit) => "abcdefghij".charAt(Number(digit)));
  for (let n = 0; n < 5000; n++) say(`message refused: ${name(n)}`);
  t.equal(written.length, LINE_KINDS_MAX + LINES_BURST_MAX);
  pass(LINES_BURST_MAX * LINE_PERIOD_MS);
  written.length = 0;
  for (let n = 0; n < LINES_BURST_MAX; n++) say("a new kind");
  t.equal(written.filter((line) => line === "a new kind").length, LINES_BURST_MAX);
});

test("[OPS-36] agent and warden write all their lines through the pace", async (t) => {
  const writers = projectFiles().filter(
    (path) => /^(agent|warden)\/.*\.ts$/u.test(path) && readProjectFile(path).includes("journal(NAME)"),
  );
  // The installer does one job and ends; the warden passes its lines on.
  t.same(writers, ["agent/main.ts", "warden/install/main.ts", "warden/main.ts"]);
  for (const path of ["agent/main.ts", "warden/main.ts"]) t.match(readProjectFile(path), "= paceLines(journal(NAME));", path);
});
