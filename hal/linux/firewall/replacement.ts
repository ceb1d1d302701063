// The transaction that replaces our table, as input for nft. [LCK-5]
import { assert } from "../../fault.ts";
import { LINE_CHARACTERS_MAX } from "./limits.ts";

/**
 * The beginning of the transaction. `flush table` would leave the elements of sets that the new
 * table has too, so an address that the policy no longer names would stay in force. Deleting a
 * table that does not exist fails, so the table is created first. `destroy table` needs nft 1.0.7.
 */
const REPLACE = "table inet sallyport {}\ndelete table inet sallyport\n";
/** One table from the first line to the last. Its content is indented, so nothing can follow it. */
const OWN_TABLE = /^table inet sallyport \{\n(?:\t[^\n]*\n|\n)*\}\n$/u;
/**
 * Printable ASCII without what nft's line editors or its scanner give a meaning of its own at the
 * end of a line: a comment would reach to the end of the whole transaction, and a backslash joins
 * lines. Line editors take other bytes for keys, with the tab among them.
 */
const PLAIN_LINE = /^[ !"$-[\]-~]+$/u;

/** @throws Fault `assert.broken` for anything but our table. */
export function replacementOf(table: string): string {
  assert(OWN_TABLE.test(table), "a firewall table is the table inet sallyport and nothing else");
  return REPLACE + table;
}

/**
 * The same transaction as one line, with its end: `nft -i` makes a transaction of each line, and a
 * semicolon separates as a line's end does (nft(8)).
 * @returns undefined for a table that `nft -i` might read in another way than `nft -f` does.
 * @throws Fault `assert.broken` for anything but our table.
 */
export function replacementLine(table: string): string | undefined {
  const lines = replacementOf(table).replaceAll("\t", "").split("\n");
  const line = lines.filter((each) => each !== "").join(";");
  return line.length <= LINE_CHARACTERS_MAX && PLAIN_LINE.test(line) ? `${line}\n` : undefined;
}
