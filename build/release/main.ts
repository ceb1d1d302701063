#!/usr/bin/env -S node --disable-sigusr1
// sallyport-release: the tool that signs releases, policies and rosters. It runs where the keys
// are, never on a device.
import { createInterface } from "node:readline/promises";
import { Fault } from "../../hal/fault.ts";
import { ignoreInspectorSignal } from "../../hal/inspector.ts";
import { codeAtEnd, CommandOutput, whyUnseen } from "../../hal/output.ts";
import { run } from "./cli.ts";

ignoreInspectorSignal();
const outputs = { out: new CommandOutput(process.stdout), err: new CommandOutput(process.stderr) };

async function confirm(question: string): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return (await terminal.question(question)).trim() === "yes";
  } finally {
    terminal.close();
  }
}

async function shown(): Promise<void> {
  const error = await whyUnseen(outputs);
  if (error !== undefined) throw new Fault("file.write-failed", `write the output: ${error.message}`, { cause: error });
}

const code = await run(process.argv.slice(2), {
  out: (text) => outputs.out.write(`${text}\n`),
  err: (text) => outputs.err.write(`${text}\n`),
  shown,
  nowMs: () => Date.now(),
  confirm: process.stdin.isTTY ? confirm : undefined,
});
process.exitCode = await codeAtEnd("sallyport-release", code, outputs);
