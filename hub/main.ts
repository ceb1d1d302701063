#!/usr/bin/env -S node --disable-sigusr1
// sallyport-hub: certificate authority, broker, audit witness and time server for gateways, and the
// command line for their operators.
import { createInterface } from "node:readline/promises";
import { Fault } from "../hal/fault.ts";
import { wrap } from "../hal/format/prose.ts";
import { ignoreInspectorSignal } from "../hal/inspector.ts";
import { codeAtEnd, CommandOutput, lossNotice, ServiceLines, whyUnseen } from "../hal/output.ts";
import { type HubTerminal, run } from "./cli/index.ts";

const NAME = "sallyport-hub";

/** From the signal to the end; systemd kills later than that (TimeoutStopSec=). [OPS-12] */
const STOP_MS_MAX = 18_000;
/** From the end of a command to the end of the process, even with something open. [OPS-12] */
const END_MS_MAX = 5_000;

ignoreInspectorSignal();
const stop = new AbortController();
for (const name of ["SIGTERM", "SIGINT"] as const)
  process.once(name, () => {
    stop.abort();
    exitAfter(STOP_MS_MAX, 1);
  });

/**
 * Ends the process after `delayMs`. The timer alone keeps no process alive, so it fires only where
 * something else does.
 */
function exitAfter(delayMs: number, code: number): void {
  setTimeout(() => {
    process.stderr.write(`${NAME}: assert.broken: something was left open at the end; the process ends all the same\n`);
    process.exit(code);
  }, delayMs).unref();
}

const argv = process.argv.slice(2);

async function ask(question: string): Promise<string> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return await terminal.question(question);
  } finally {
    terminal.close();
  }
}

/** A running hub: its messages go to a log, one line each, and the loss of the log ends nothing. */
function serving(): Promise<number> {
  const plain = lossNotice(NAME);
  const json = (lines: number, reason: string): string => JSON.stringify({ event: "output.lost", lines, reason });
  const out = new ServiceLines(process.stdout, argv.includes("--json") ? json : plain);
  const err = new ServiceLines(process.stderr, plain);
  return run(
    argv,
    terminalOf(
      (text) => out.write(text),
      (text) => err.write(text),
      async () => undefined,
    ),
  );
}

/** Any other command: it ends when its output is with its reader. */
async function commanded(): Promise<number> {
  const outputs = { out: new CommandOutput(process.stdout), err: new CommandOutput(process.stderr) };
  const code = await run(
    argv,
    terminalOf(
      (text) => outputs.out.write(`${text}\n`),
      (text) => outputs.err.write(`${wrap(text, 2)}\n`),
      async () => {
        const error = await whyUnseen(outputs);
        if (error !== undefined) throw new Fault("file.write-failed", `write the output: ${error.message}`, { cause: error });
      },
    ),
  );
  return codeAtEnd(NAME, code, outputs);
}

function terminalOf(out: HubTerminal["out"], err: HubTerminal["err"], shown: HubTerminal["shown"]): HubTerminal {
  return { out, err, shown, ask: process.stdin.isTTY ? ask : undefined, stop: stop.signal };
}

const isService = argv[0] === "serve" && !argv.includes("--help") && !argv.includes("-h");
const code = await (isService ? serving() : commanded());
process.exitCode = code;
exitAfter(END_MS_MAX, code);
