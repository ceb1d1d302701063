#!/usr/bin/env node
// sallyport-release: the tool that signs releases, policies and rosters. It runs where the keys
// are, never on a device.
import { createInterface } from "node:readline/promises";
import { run } from "./cli.ts";

async function confirm(question: string): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return (await terminal.question(question)).trim() === "yes";
  } finally {
    terminal.close();
  }
}

process.exitCode = await run(process.argv.slice(2), {
  out: (text) => void process.stdout.write(`${text}\n`),
  err: (text) => void process.stderr.write(`${text}\n`),
  nowMs: () => Date.now(),
  confirm: process.stdin.isTTY ? confirm : undefined,
});
