// Replacing our table and reading it back in one nft process: `nft -i` makes a transaction of each
// line that it reads. The run counts only when it proves itself. Otherwise nothing is known, and
// the caller goes the long way. [LCK-25] [LCK-26]
import { Fault } from "../../fault.ts";
import { CHILD_PATH, type ExitResult, type RunOptions } from "../process/index.ts";
import { canonicalTable, isCommitted, readListing } from "./canonical.ts";

export const LIST = "list table inet sallyport";

/**
 * What a line editor would otherwise look for: its history and settings (without HOME, nft writes a
 * history to the root of the file system), and a terminal.
 */
const ENVIRONMENT = {
  PATH: CHILD_PATH,
  LC_ALL: "C",
  HOME: "/nonexistent",
  TERM: "dumb",
  INPUTRC: "/dev/null",
} as const satisfies RunOptions["env"];

/** How nft begins each listing as JSON. A build with readline prints prompts and its input too. */
const LISTING = '{"nftables":';

/** Runs nft with these arguments. @throws Fault `process.failed`, `process.timeout`. */
export type RunNft = (args: readonly string[], options: Pick<RunOptions, "input" | "env">) => Promise<ExitResult>;

/**
 * What a run shows: our table as the kernel had it after a transaction that it did not refuse; that
 * nft refused something; or neither, because it has no interactive mode, was killed, hung, or wrote
 * what was not expected.
 */
export type Shown = { readonly table: string } | "refusal" | "nothing";

/** @param line a transaction that replaces our table, from `replacementLine`. */
export async function replaceInOneProcess(line: string, nft: RunNft): Promise<Shown> {
  try {
    return shownBy(await nft(["-j", "-p", "-i"], { input: `${line}${LIST}\n`, env: ENVIRONMENT }));
  } catch (error) {
    if (error instanceof Fault) return "nothing";
    throw error;
  }
}

/**
 * [LCK-25] The exit code of `nft -i` is 0 after a refusal too, which is on stderr. A listing from
 * within a transaction has no handles yet.
 * @throws Fault `firewall.unreadable` when what looks like a listing is none.
 */
function shownBy({ exitCode, stdout, stderr }: ExitResult): Shown {
  if (exitCode !== 0) return "nothing";
  if (stderr.trim() !== "") return /\bError: /u.test(stderr) ? "refusal" : "nothing";
  const [text, ...more] = stdout.split("\n").filter((line) => line.startsWith(LISTING));
  if (text === undefined || more.length > 0) return "nothing";
  const listing = readListing(text);
  return isCommitted(listing) ? { table: canonicalTable(listing) } : "nothing";
}
