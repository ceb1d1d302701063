#!/usr/bin/env node
// sallyport-hub: certificate authority, broker, audit witness and time for gateways, and the command line for their operators.
import { run } from "./cli/index.ts";

/** From the signal to the end. systemd kills later than that (TimeoutStopSec=). */
const STOP_MS_MAX = 18_000;
/** From the end of a command to that of the process, whatever was left open. */
const END_MS_MAX = 5_000;

const stop = new AbortController();
for (const name of ["SIGTERM", "SIGINT"] as const)
  process.once(name, () => {
    stop.abort();
    exitAfter(STOP_MS_MAX, 1);
  });

/** The timer alone keeps no process alive, so it runs out only where something else does. */
function exitAfter(delayMs: number, code: number): void {
  setTimeout(() => {
    process.stderr.write("sallyport-hub: assert.broken: something was left open at the end; the process ends all the same\n");
    process.exit(code);
  }, delayMs).unref();
}

const code = await run(process.argv.slice(2), {
  out: (text) => void process.stdout.write(`${text}\n`),
  err: (text) => void process.stderr.write(`${text}\n`),
  stop: stop.signal,
});
process.exitCode = code;
exitAfter(END_MS_MAX, code);
