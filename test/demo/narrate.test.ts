import { Writable } from "node:stream";
import { test } from "tap";
import { Fault } from "../../hal/fault.ts";
import { ATTACKED, createNarrator, type NarratorOptions } from "./narrate.ts";
import { COLUMNS, wrap } from "./wrap.ts";

function narrated(options: NarratorOptions) {
  const chunks: string[] = [];
  const output = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk.toString());
      done();
    },
  });
  return { narrator: createNarrator(output, options), lines: () => chunks.join("").trimEnd().split("\n") };
}

test("text is wrapped by words, an indentation is kept, and a word that is too long is cut", async (t) => {
  t.same(wrap("one two three", 7), ["one two", "three"]);
  t.same(wrap("    one two three", 11), ["    one two", "    three"]);
  t.same(wrap("abcdefghij", 4), ["abcd", "efgh", "ij"]);
  t.same(wrap("a\n\nb", 10), ["a", "", "b"]);
});

test("no line of the demo is wider than 100 columns, and its last five lines say what held", async (t) => {
  const { narrator, lines } = narrated({ json: false, verbose: true });
  await narrator.step("A step with much evidence", async (report) => {
    report.evidence("hash", `sha256:${"0123456789abcdef".repeat(16)}`);
    report.result("word ".repeat(60).trim());
    report.held("network", "an attack with a long description ".repeat(5).trim(), "an attack was refused");
    report.held("network", "another attack", "another attack was refused");
  });
  t.equal(narrator.summary(), 0);
  t.same(
    lines().filter((line) => line.length > COLUMNS),
    [],
  );
  const last = lines().slice(-ATTACKED.length);
  t.match(last[0], /^ network +HELD  an attack was refused; another attack was refused\.$/u);
  t.match(last[1], /^ USB +not attacked in this run$/u);
});

test("evidence is shown with --verbose, or when the step failed; a failure decides the exit code", async (t) => {
  const quiet = narrated({ json: false, verbose: false });
  await quiet.narrator.step("fine", async (report) => report.evidence("detail", "hidden"));
  t.notMatch(quiet.lines().join("\n"), /hidden/u);
  await t.rejects(
    quiet.narrator.step("broken", async (report) => {
      report.evidence("detail", "shown");
      throw new Fault("process.failed", "it broke", { cause: new Fault("process.timeout", "the reason") });
    }),
    { code: "process.failed" },
  );
  t.match(quiet.lines().join("\n"), /FAILED it broke\n +because the reason\n +detail +shown/u);
  t.equal(quiet.narrator.summary(), 1);
});

test("--json prints one event a line", async (t) => {
  const { narrator, lines } = narrated({ json: true, verbose: false });
  await narrator.step("fine", async (report) => report.held("login", "a long text", "short"));
  narrator.skipped("another", "why");
  t.equal(narrator.summary(), 0);
  const events = lines().map((line): unknown => JSON.parse(line));
  t.match(events, [
    { event: "step-started", step: 1 },
    { event: "step-ended", ok: true, verdicts: ["a long text"] },
    { event: "step-skipped", why: "why" },
    { event: "summary", ok: true, passed: 1, skipped: 1, held: { login: ["short"] } },
  ]);
});
