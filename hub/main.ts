#!/usr/bin/env node
// sallyport-hub: certificate authority, broker, audit witness and time server for gateways, and the
// command line for their operators.
import { wrap } from "../hal/format/prose.ts";
import { run } from "./cli/index.ts";

const stop = new AbortController();
process.once("SIGTERM", () => stop.abort());
process.once("SIGINT", () => stop.abort());

process.exitCode = await run(process.argv.slice(2), {
  out: (text) => void process.stdout.write(`${text}\n`),
  err: (text) => void process.stderr.write(`${wrap(text, 2)}\n`),
  stop: stop.signal,
});
