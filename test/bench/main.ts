// `npm run bench`: the cost of the device's programs against named peers in the same run. Absolute
// numbers depend on the machine, the ratios count.
import { parseArgs } from "node:util";
import { asFault, Fault } from "../../hal/fault.ts";
import { type Measure, openBench } from "./bench.ts";
import { audit } from "./audit.ts";
import { bundle } from "./bundle.ts";
import { deadlines } from "./deadlines.ts";
import { hub } from "./hub.ts";
import { install } from "./install.ts";
import { messages } from "./messages.ts";
import { policy } from "./policy.ts";
import { reconnects } from "./reconnects.ts";
import { refusals } from "./refusals.ts";
import { machine } from "./machine.ts";
import { start } from "./start.ts";
import { steady } from "./steady.ts";
import { type Section, table } from "./table.ts";

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
  machine,
];
const NAMES = MEASURES.map(({ name }) => name);

const HELP = `usage: npm run bench -- [--quick] [--only NAME[,NAME]] [--json]

Measures the device's programs against named peers, in turn and in the same run. Progress goes to stderr.

  --quick       use fewer messages and rounds, and wait 15 s instead of 60 s before reading memory
  --only NAMES  run only some of: ${NAMES.join(", ")}
  --json        print one JSON document instead of the table:
                {quick, node, cpus, sections: [{name, how, findings}], failed: [{name, code, message}]}
                Each finding: {what, unit, ours, peer?, ratio?, target?, met?, everyRound?, why?}; numbers as {median, min, max, samples}.
  --help        print this text

Exit codes: 0 everything was measured (a missed target is reported, but is no failure), 1 a
measurement could not be made, 2 wrong usage.
`;

interface Options {
  readonly quick: boolean;
  readonly json: boolean;
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
        help: { type: "boolean", default: false },
      },
    });
    const only = values.only?.split(",") ?? NAMES;
    const unknown = only.filter((name) => !NAMES.includes(name));
    if (unknown.length > 0)
      throw new Fault("usage.invalid", `--only: no measure "${unknown.join('", "')}"; expected some of ${NAMES.join(", ")}`);
    if (values.help) return "help";
    return { quick: values.quick, json: values.json, measures: MEASURES.filter(({ name }) => only.includes(name)) };
  } catch (error) {
    throw asFault(error, "usage.invalid", "read the command line");
  }
}

async function measure({ quick, json, measures }: Options): Promise<number> {
  const sections: Section[] = [];
  const failed: { readonly name: string; readonly code: string; readonly message: string }[] = [];
  for (const { name, how, run } of measures) {
    const progress = (text: string): void => void process.stderr.write(`bench: ${name}: ${text}\n`);
    const started = performance.now();
    const { bench, undo } = await openBench(quick, progress);
    const stop = (): void => void undo().finally(() => process.exit(1));
    process.once("SIGINT", stop).once("SIGTERM", stop);
    try {
      sections.push({ name, how, findings: await run(bench) });
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
  if (json)
    process.stdout.write(
      `${JSON.stringify({ quick, node: process.version, cpus: navigator.hardwareConcurrency, sections, failed }, undefined, 2)}\n`,
    );
  else {
    process.stdout.write(`\n${table(sections)}`);
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
