// nftables through the nft program, limited to one table of ours. [LCK-5]
import { assert, Fault } from "../../fault.ts";
import { singleLine } from "../../format/text.ts";
import { defined } from "../../format/defined.ts";
import type { Firewall } from "../../ports.ts";
import { type ExitResult, runToExit } from "../process/index.ts";
import { LISTING_BYTES_MAX, NFT_TIMEOUT_MS } from "./limits.ts";
import { canonicalTable } from "./canonical.ts";

export interface FirewallOptions {
  /**
   * The command before nft's arguments: `["nft"]`, or a command that enters another network
   * namespace and ends in `nft`.
   */
  readonly command?: readonly [string, ...string[]];
}

/**
 * [LCK-5] The beginning of the transaction that replaces the table. `flush table` would leave the
 * elements of sets that the new table has too, so an address that the policy no longer names would
 * stay in force. Deleting a table that does not exist fails, so the table is created first.
 * `destroy table` needs nft 1.0.7.
 */
const REPLACE = "table inet sallyport {}\ndelete table inet sallyport\n";
/** One table from the first line to the last. Its content is indented, so nothing can follow it. */
const OWN_TABLE = /^table inet sallyport \{\n(?:\t[^\n]*\n|\n)*\}\n$/u;

/** The part of nft's error output that goes into a fault's message. */
const ERROR_TEXT_UNITS_MAX = 500;

/** Needs nft, and CAP_NET_ADMIN in the network namespace that `command` enters. */
export function linuxFirewall({ command = ["nft"] }: FirewallOptions = {}): Firewall {
  const nft = async (args: readonly string[], input?: string): Promise<ExitResult> => {
    const [program, ...before] = command;
    const options = { timeoutMs: NFT_TIMEOUT_MS, outputBytesMax: LISTING_BYTES_MAX };
    return await runToExit(program, [...before, ...args], { ...options, ...defined({ input }) });
  };
  const load = async (action: string, args: readonly string[], table: string): Promise<void> => {
    assert(OWN_TABLE.test(table), "a firewall table is the table inet sallyport and nothing else");
    const { exitCode, stderr } = await nft([...args, "-f", "-"], REPLACE + table);
    if (exitCode !== 0)
      throw new Fault(
        "firewall.refused",
        `${action} the firewall: nft ended with code ${exitCode}: ${singleLine(stderr, ERROR_TEXT_UNITS_MAX)}`,
      );
  };
  return {
    check: (table) => load("check", ["-c"], table),
    replace: (table) => load("replace", [], table),
    read: async () => {
      const listed = await nft(["-j", "-p", "list", "table", "inet", "sallyport"]);
      if (listed.exitCode === 0) return canonicalTable(listed.stdout);
      const tables = await nft(["list", "tables"]);
      if (tables.exitCode === 0 && !tables.stdout.split("\n").includes("table inet sallyport")) return undefined;
      throw new Fault(
        "firewall.unreadable",
        `read the firewall: nft ended with code ${listed.exitCode}: ${singleLine(listed.stderr, ERROR_TEXT_UNITS_MAX)}; it needs CAP_NET_ADMIN`,
      );
    },
  };
}
