#!/usr/bin/env node
// sallyport-hub: certificate authority, broker, audit witness and time server for gateways, and the
// command line for their operators.
import { createInterface } from "node:readline/promises";
import { wrap } from "../hal/format/prose.ts";
import { run } from "./cli/index.ts";

const stop = new AbortController();
process.once("SIGTERM", () => stop.abort());
process.once("SIGINT", () => stop.abort());

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

process.exitCode = await run(argv, {
  out: (text) => void process.stdout.write(`${text}\n`),
  err: (text) => void process.stderr.write(`${shown(text)}\n`),
  ask: process.stdin.isTTY ? ask : undefined,
  stop: stop.signal,
});
