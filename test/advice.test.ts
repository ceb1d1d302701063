// What messages and documents advise: nothing that destroys is named as a guess.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "tap";

/** Words of a remedy that cannot be undone. */
const DESTRUCTIVE =
  /\breset the device\b|\bowner's reset\b|\bfactory reset\b|\bnew identity\b|\bwipe\b|\brm -|\b(?:remove|delete|erase|discard)s? (?:it|this|that|its)\b|[;,] (?:remove|delete|erase|discard)\b/iu;

/** The messages that may name one, each with its fault. [STA-6] */
const NEEDED: readonly (readonly [file: string, text: RegExp])[] = [
  ["provisioning/key.ts", /it is gone; put it back, and only if it is lost for good, the owner's reset/u],
  ["hub/devices/refusal.ts", /revoked key is never let in again; only after the owner's reset/u],
  ["warden/update/updates.ts", /an operator's order update\.revert discards it/u],
];

/** The reset itself: its commands and its carrying out advise nobody who has another trouble. */
const CHOSEN =
  /"wipe plan"|\bwipe \?|factory reset (?:would destroy|of this device: needs an order)|or that of a factory reset, as wipe plan/u;

const sources = ["agent", "warden", "hal", "ota", "provisioning", "hub", "build/units"]
  .flatMap((folder) => readdirSync(folder, { recursive: true }).map((name) => join(folder, String(name))))
  .filter((path) => /\.(?:ts|sh|service|timer)$/u.test(path) && !path.endsWith(".d.ts"))
  .filter((path) => !path.startsWith("warden/reset/"));

/** Lines of code with a text in them: comments, SQL and names of verbs are no advice. */
function advice(path: string): readonly string[] {
  return readFileSync(path, "utf8")
    .split("\n")
    .filter((line) => /["'`]/u.test(line) && !/^\s*(?:\/\/|\/?\*|import |#)/u.test(line))
    .filter((line) => DESTRUCTIVE.test(line) && !/DELETE FROM|"system\.wipe"/u.test(line) && !CHOSEN.test(line));
}

test("[STA-6] a destructive remedy is in the message of the fault that needs it, and in no other", async (t) => {
  const found = sources.flatMap((path) => advice(path).map((line) => `${path}: ${line.trim()}`));
  const stray = found.filter((line) => !NEEDED.some(([file, text]) => line.startsWith(`${file}:`) && text.test(line)));
  t.same(stray, []);
  for (const [file, text] of NEEDED)
    t.ok(
      found.some((line) => line.startsWith(`${file}:`) && text.test(line)),
      file,
    );
});

test("[STA-6] the table of faults in docs/operations.md names no reset as a guess", async (t) => {
  const rows = readFileSync("docs/operations.md", "utf8")
    .split("\n")
    .filter((line) => line.startsWith("| `") && !/^\| `(?:reset\.|owner|device )/u.test(line))
    .filter((line) => DESTRUCTIVE.test(line) || /\breset/iu.test(line));
  t.ok(
    rows.every((row) => /`key\.missing`/u.test(row)),
    rows.join("\n"),
  );
});
