// A program from its command line to its exit code: 0 done, 1 fault while running, 2 usage, 78 configuration (sysexits.h EX_CONFIG).
import { asFault, type Fault } from "../../fault.ts";
import { journal } from "./journal.ts";
import { usageText, parseOptions } from "./options.ts";
import { toldToStop } from "./stop.ts";

const EXIT_FAULT = 1;
const EXIT_USAGE = 2;
const EXIT_CONFIG = 78;

export interface Program {
  readonly name: string;
  readonly version: string;
  /** For the help: what it is there for. */
  readonly purpose: string;
  /** Where its configuration is when nobody says otherwise. */
  readonly configFile: string;
  /** Judges configuration and anchors and changes nothing. @returns the settings in force. @throws Fault `config.*`. */
  readonly check: (file: string) => Promise<object>;
  /** Runs until `stop` aborts. */
  readonly live: (file: string, stop: AbortSignal) => Promise<void>;
}

/** Does what the command line wants and sets the exit code. Never rejects: a fault is one line in the journal, a defect brings its stack. */
export async function runMain(program: Program): Promise<void> {
  try {
    await carryOut(program);
  } catch (error) {
    const say = journal(program.name);
    const fault = asFault(error, "assert.broken", "run");
    say(`${fault.code}: ${fault.message}`);
    if (fault.code === "assert.broken" && error instanceof Error) say(error.stack ?? "no stack");
    process.exitCode = exitCodeOf(fault);
  }
}

async function carryOut({ name, version, purpose, configFile, check, live }: Program): Promise<void> {
  const chosen = parseOptions(process.argv.slice(2), configFile);
  if (chosen === "help") process.stdout.write(usageText(name, purpose, configFile));
  else if (chosen === "version") process.stdout.write(`${name}/${version}\n`);
  else if (chosen.checkOnly) process.stdout.write(`"${chosen.file}" is right: ${JSON.stringify(await check(chosen.file))}\n`);
  else await live(chosen.file, toldToStop());
}

function exitCodeOf({ code }: Fault): number {
  if (code === "usage.invalid") return EXIT_USAGE;
  return code.startsWith("config.") ? EXIT_CONFIG : EXIT_FAULT;
}
