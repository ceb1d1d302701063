// A program from its command line to its exit code: 0 done, 1 fault while running, 2 usage,
// 78 configuration (sysexits.h, EX_CONFIG). The programs of a device share it.
import { parseArgs } from "node:util";
import { asFault, Fault } from "../fault.ts";
import { argumentErrorText, printable, printableJson } from "../format/text.ts";
import { ignoreInspectorSignal } from "../inspector.ts";
import { codeAtEnd, CommandOutput, lossNotice, ServiceLines } from "../output.ts";
import { readConfigFile } from "./files/index.ts";

/** systemd splits lines above 48 KiB (journald.conf(5), LineMax); a stack has a few KiB. */
const JOURNAL_LINE_UNITS_MAX = 16_384;

export interface EndLimits {
  /**
   * After its end a program is gone by then, even when an open handle keeps its event loop alive:
   * systemd starts it again only when it is gone.
   */
  readonly endMsMax: number;
  /** From the signal to the end. systemd kills after 20 s (TimeoutStopSec=). */
  readonly stopMsMax: number;
}
const END_LIMITS: EndLimits = { endMsMax: 5_000, stopMsMax: 18_000 };

const EXIT_FAULT = 1;
const EXIT_USAGE = 2;
const EXIT_CONFIG = 78;

export interface Program {
  readonly name: string;
  readonly version: string;
  /** What the program is for, as the help says it. */
  readonly purpose: string;
  /** The configuration file when the command line names none. */
  readonly configFile: string;
  /**
   * Checks configuration and anchors, and changes nothing.
   * @returns the settings in force.
   * @throws Fault `config.*`.
   */
  readonly check: (file: string) => Promise<object>;
  /** Runs until `stop` aborts. */
  readonly live: (file: string, stop: AbortSignal) => Promise<void>;
}

type Command = "help" | "version" | { readonly file: string; readonly checkOnly: boolean };

/**
 * Does what the command line asks for, and sets the exit code. Never rejects: a fault becomes one
 * line in the journal, and a defect of ours brings its stack too. The process ends soon after that,
 * even when something was left open. [OPS-12]
 */
export async function runMain(program: Program, limits: EndLimits = END_LIMITS): Promise<void> {
  ignoreInspectorSignal();
  const log = journal(program.name);
  try {
    const text = await run(program, () => stopSignal(log, limits.stopMsMax));
    if (text !== undefined) process.exitCode = await print(program.name, text);
  } catch (error) {
    const fault = asFault(error, "assert.broken", "run");
    log(`${fault.code}: ${fault.message}`);
    if (fault.code === "assert.broken" && error instanceof Error) log(error.stack ?? "no stack");
    process.exitCode = exitCodeOf(fault);
  }
  exitAfter(limits.endMsMax, () => log("assert.broken: something was left open at the end; the process ends all the same"));
}

/** The timer alone keeps no process alive, so it runs out only where something else does. */
function exitAfter(delayMs: number, before: () => void): void {
  setTimeout(() => {
    before();
    process.exit();
  }, delayMs).unref();
}

/**
 * @returns a function that writes one line an event to stderr. The journal adds the time.
 *   Characters that a terminal could act on are replaced, because parts of a line may come from
 *   outside. A line that cannot be written is counted, and ends nothing. [OPS-32]
 */
export function journal(name: string): (line: string) => void {
  const lines = new ServiceLines(process.stderr, lossNotice(name));
  return (line) => lines.write(`${name}: ${printable(line, JOURNAL_LINE_UNITS_MAX)}`);
}

/** @returns the reason of `stop`, once it aborts. */
export function reasonOf(stop: AbortSignal): Promise<string> {
  return new Promise((resolve) => {
    const settle = (): void => resolve(String(stop.reason));
    if (stop.aborted) settle();
    else stop.addEventListener("abort", settle, { once: true });
  });
}

/**
 * A configuration file without which a program cannot do its work.
 * @param what what the file holds, for the message of the fault.
 * @param hint what the operator can do when the file is missing.
 * @throws Fault `config.unreadable`.
 */
export async function requiredConfigFile(path: string, bytesMax: number, what: string, hint: string): Promise<Uint8Array> {
  const bytes = await readConfigFile(path, bytesMax);
  if (bytes === undefined) throw new Fault("config.unreadable", `read ${what} "${path}": there is no such file; ${hint}`);
  return bytes;
}

/** @returns what to print, where the command line asks for a text only. */
async function run(
  { name, version, purpose, configFile, check, live }: Program,
  stopSignalOf: () => AbortSignal,
): Promise<string | undefined> {
  const command = parseCommand(process.argv.slice(2), configFile);
  if (command === "help") return usageText(name, purpose, configFile);
  if (command === "version") return `${name}/${version}\n`;
  if (command.checkOnly) return `"${command.file}" is valid: ${printableJson(await check(command.file))}\n`;
  await live(command.file, stopSignalOf());
  return undefined;
}

/** @returns the exit code, which tells whether the text was written. [OPS-33] */
async function print(name: string, text: string): Promise<number> {
  const outputs = { out: new CommandOutput(process.stdout), err: new CommandOutput(process.stderr) };
  outputs.out.write(text);
  return codeAtEnd(name, 0, outputs);
}

/**
 * Aborts with the first signal that asks the process to end; the signal's name is the reason. A
 * second signal ends the process at once, as signals do by default. A start or a stop that hangs
 * ends after `stopMsMax`. [OPS-12]
 */
function stopSignal(log: (line: string) => void, stopMsMax: number): AbortSignal {
  const stop = new AbortController();
  const end = (name: "SIGTERM" | "SIGINT"): void => {
    stop.abort(name);
    exitAfter(stopMsMax, () => {
      log(`assert.broken: ${name} was not obeyed within ${stopMsMax} ms; the process ends all the same`);
      process.exitCode = EXIT_FAULT;
    });
  };
  for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, () => end(name));
  return stop.signal;
}

function exitCodeOf({ code }: Fault): number {
  if (code === "usage.invalid") return EXIT_USAGE;
  return code.startsWith("config.") ? EXIT_CONFIG : EXIT_FAULT;
}

/** @throws Fault `usage.invalid`. */
function parseCommand(argv: readonly string[], configFile: string): Command {
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: {
        config: { type: "string", default: configFile },
        "check-config": { type: "boolean", default: false },
        help: { type: "boolean", default: false },
        version: { type: "boolean", default: false },
      },
    });
    if (values.help) return "help";
    return values.version ? "version" : { file: values.config, checkOnly: values["check-config"] };
  } catch (error) {
    throw new Fault("usage.invalid", `read the command line: ${argumentErrorText(error)}`, { cause: error });
  }
}

function usageText(name: string, purpose: string, configFile: string): string {
  return `usage: ${name} --config FILE [--check-config]
       ${name} --help | --version

${purpose}

  --config FILE     configuration, JSON; default ${configFile}
  --check-config    check the configuration and the hub's anchors, and exit
  --help            print this text
  --version         print name and version

Exit codes: 0 done, 1 fault while running, 2 usage, 78 configuration.
`;
}
