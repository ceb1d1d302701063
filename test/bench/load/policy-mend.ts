// Puts a policy's table back after another program has flushed everything. Arguments: document and
// table of each policy; the first is used.
import { readFileSync } from "node:fs";
import { linuxClock, linuxFirewall } from "../../../hal/linux/index.ts";
import { runProgram } from "../../../hal/linux/process/index.ts";
import { guardTable } from "../../../warden/lockdown/guard.ts";
import { parsePolicy } from "../../../warden/lockdown/format/index.ts";
import { planLockdown } from "../../../warden/lockdown/plan/index.ts";
import { labSnapshot } from "../../lab/worlds/lockdown.ts";
import { serveRounds } from "./rounds.ts";

const table = planLockdown(parsePolicy(readFileSync(process.argv[2] ?? "")), labSnapshot()).firewall;
const firewall = linuxFirewall();
const flush = (): Promise<unknown> => runProgram("nft", ["flush", "ruleset"], { timeoutMs: 60_000, outputBytesMax: 4096 });
const mended: { resolve: () => void } = { resolve: () => undefined };
/** As warden/lockdown/effects.ts does it. */
const mend = async (): Promise<boolean> => {
  if ((await firewall.read()) === table) return false;
  await firewall.replace(table);
  mended.resolve();
  return true;
};
await firewall.replace(table);
const guard = { lockdown: { mend }, firewall, clock: linuxClock(), report: console.error };
guardTable(guard, new AbortController().signal);

/** From the start of the other program's nft until the table is read back. */
async function once(): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<void>();
  mended.resolve = resolve;
  const started = performance.now();
  await flush();
  // until the monitor has subscribed, nothing is told
  const again = setInterval(() => void flush(), 2000);
  await promise;
  clearInterval(again);
  return performance.now() - started;
}

serveRounds(async (count) => {
  let ms = 0;
  for (let done = 0; done < count; done += 1) {
    ms += await once();
    // the guard's rest is over: one change does not wait for the one before
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  return { mendMs: ms };
});
