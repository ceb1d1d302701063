#!/usr/bin/env node
// sallyport-hub: certificate authority, broker, audit witness and time server for gateways, and the
// command line for their operators.
import { createInterface } from "node:readline/promises";
import { wrap } from "../hal/format/prose.ts";
import { run } from "./cli/index.ts";

/** From the signal to the end; systemd kills later than that (TimeoutStopSec=). [OPS-12] */
const STOP_MS_MAX = 18_000;
/** From the end of a command to the end of the process, even with something open. [OPS-12] */
const END_MS_MAX = 5_000;

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
    process.stderr.write("sallyport-hub: assert.broken: something was left open at the end; the process ends all the same\n");
    process.exit(code);
  }, delayMs).unref();
}

const argv = process.argv.slice(2);
// The messages of a running hub go to a log, one line each.
const shown = (text: string): string => (argv[0] === "serve" ? text : wrap(text, 2));

async function ask(question: string): Promise<string> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return await terminal.question(question);
  } finally {
    terminal.close();
  }
}

const code = await run(argv, {
  out: (text) => void process.stdout.write(`${text}\n`),
  err: (text) => void process.stderr.write(`${shown(text)}\n`),
  ask: process.stdin.isTTY ? ask : undefined,
  stop: stop.signal,
});
process.exitCode = code;
exitAfter(END_MS_MAX, code);
