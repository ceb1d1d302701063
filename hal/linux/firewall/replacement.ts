// The transaction that replaces our table, as input for `nft -f`. [LCK-5]
import { assert } from "../../fault.ts";

/**
 * The beginning of the transaction. `flush table` would leave the elements of sets that the new
 * table has too, so an address that the policy no longer names would stay in force. Deleting a
 * table that does not exist fails, so the table is created first. `destroy table` needs nft 1.0.7.
 */
const REPLACE = "table inet sallyport {}\ndelete table inet sallyport\n";
/** One table from the first line to the last. Its content is indented, so nothing can follow it. */
const OWN_TABLE = /^table inet sallyport \{\n(?:\t[^\n]*\n|\n)*\}\n$/u;

/** @throws Fault `assert.broken` for anything but our table. */
export function replacementOf(table: string): string {
  assert(OWN_TABLE.test(table), "a firewall table is the table inet sallyport and nothing else");
  return REPLACE + table;
}
