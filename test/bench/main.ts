// `npm run bench`: the cost of the device's programs against named peers in the same run. Absolute
// numbers depend on the machine, the ratios count.
import { writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { asFault, Fault } from "../../hal/fault.ts";
import { type Measure, openBench } from "./bench.ts";
import { audit } from "./audit.ts";
import { bundle } from "./bundle.ts";
import { deadlines } from "./deadlines.ts";
import { hub } from "./hub.ts";
import { install } from "./install.ts";
import { messages } from "./messages.ts";
import { options as nodeOptions } from "./options.ts";
import { policy } from "./policy.ts";
import { reconnects } from "./reconnects.ts";
import { refusals } from "./refusals.ts";
import { loadNow } from "./load.ts";
import { machine } from "./machine.ts";
import { markdown, type Skipped } from "./markdown.ts";
import { start } from "./start.ts";
import { steady } from "./steady.ts";
import { type Section, table } from "./table.ts";
import { tpm } from "./tpm.ts";

const MEASURES: readonly Measure[] = [
  bundle,
  start,
  steady,
  messages,
  reconnects,
  audit,
  install,
  policy,
  deadlines,
  refusals,
  hub,
  tpm,
  machine,
  nodeOptions,
];
const NAMES = MEASURES.map(({ name }) => name);

const HELP = `usage: npm run bench -- [--quick] [--only NAME[,NAME]] [--json] [--markdown FILE]

Measures the device's programs against named peers, in turn and in the same run. Progress goes to stderr.

  --quick       use fewer messages and rounds, and wait 15 s instead of 60 s before reading memory
  --only NAMES  run only some of: ${NAMES.join(", ")}
  --json        print one JSON document instead of the table:
                {quick, node, cpus, sections: [{name, how, peers, load, findings}], failed: [{name, code, message}],
                skipped: [{name, why}]}
                Each finding: {what, unit, ours, peer?, ratio?, target?, met?, interval?, certain?, why?};
                numbers as {median, min, max, samples}. "certain" is false where the rounds lie on both
                sides of the target (95 % interval of the median)
  --markdown FILE
                also write the table as a document; docs/performance.md is one of the whole bench
  --help        print this text

Exit codes: 0 everything was measured (a missed target is reported, but is no failure; so is what
was skipped, because the machine lacks a program), 1 a
measurement could not be made, 2 wrong usage.
`;

interface Options {
  readonly quick: boolean;
  readonly json: boolean;
  readonly markdown: string | undefined;
  readonly measures: readonly Measure[];
}

/** @throws Fault `usage.invalid`. */
function options(): Options | "help" {
  try {
    const { values } = parseArgs({
      options: {
        quick: { type: "boolean", default: false },
        json: { type: "boolean", default: false },
        only: { type: "string" },
        markdown: { type: "string" },
        help: { type: "boolean", default: false },
      },
    });
    const only = values.only?.split(",") ?? NAMES;
    const unknown = only.filter((name) => !NAMES.includes(name));
    if (unknown.length > 0)
      throw new Fault("usage.invalid", `--only: no measure "${unknown.join('", "')}"; expected some of ${NAMES.join(", ")}`);
    if (values.help) return "help";
    const { quick, json } = values;
    return { quick, json, markdown: values.markdown, measures: MEASURES.filter(({ name }) => only.includes(name)) };
  } catch (error) {
    throw asFault(error, "usage.invalid", "read the command line");
  }
}

async function measure({ quick, json, markdown: document, measures }: Options): Promise<number> {
  const sections: Section[] = [];
  const failed: { readonly name: string; readonly code: string; readonly message: string }[] = [];
  const skipped: Skipped[] = [];
  for (const { name, how, peers, lacks, run } of measures) {
    const progress = (text: string): void => void process.stderr.write(`bench: ${name}: ${text}\n`);
    const why = lacks?.();
    if (why !== undefined) {
      skipped.push({ name, why });
      continue;
    }
    const started = performance.now();
    const before = loadNow();
    const { bench, undo } = await openBench(quick, progress);
    const stop = (): void => void undo().finally(() => process.exit(1));
    process.once("SIGINT", stop).once("SIGTERM", stop);
    try {
      const findings = await run(bench);
      const load = { before, after: loadNow(), processors: availableParallelism() };
      sections.push({ name, how, peers, load, findings });
      progress(`measured in ${((performance.now() - started) / 1000).toFixed(1)} s`);
    } catch (error) {
      const { code, message } = asFault(error, "assert.broken", "measure");
      failed.push({ name, code, message });
      progress(`could not be measured: ${code}: ${message}`);
    } finally {
      process.off("SIGINT", stop).off("SIGTERM", stop);
      await undo();
    }
  }
  if (document !== undefined) await writeFile(document, markdown(sections, quick, skipped));
  if (json)
    process.stdout.write(
      `${JSON.stringify({ quick, node: process.version, cpus: navigator.hardwareConcurrency, sections, failed, skipped }, undefined, 2)}\n`,
    );
  else {
    process.stdout.write(`\n${table(sections)}`);
    for (const { name, why } of skipped) process.stdout.write(`\n${name}: SKIPPED: ${why}\n`);
    for (const { name, code, message } of failed) process.stdout.write(`\n${name}: NOT MEASURED: ${code}: ${message}\n`);
  }
  return failed.length === 0 ? 0 : 1;
}

try {
  const chosen = options();
  if (chosen === "help") process.stdout.write(HELP);
  else process.exitCode = await measure(chosen);
} catch (error) {
  const { code, message } = asFault(error, "assert.broken", "run the bench");
  process.stderr.write(`bench: ${code}: ${message}\n`);
  process.exitCode = code === "usage.invalid" ? 2 : 1;
}
