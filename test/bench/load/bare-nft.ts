// The peer of policy-apply: nft with the same tables in turn. Arguments: document and table of each
// policy.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { serveRounds } from "./rounds.ts";

const run = promisify(execFile);
const tables = process.argv.slice(2).filter((_, n) => n % 2 === 1);

serveRounds(async (count) => {
  for (let done = 0; done < count; done += 1) await run("nft", ["-f", tables[done % tables.length] ?? ""]);
  return {};
});
