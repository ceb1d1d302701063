#!/usr/bin/env node
// sallyport-release: the tool that signs releases, policies and rosters. It runs where the keys
// are, never on a device.
import { run } from "./cli.ts";

process.exitCode = await run(process.argv.slice(2), {
  out: (text) => void process.stdout.write(`${text}\n`),
  err: (text) => void process.stderr.write(`${text}\n`),
  nowMs: () => Date.now(),
});
