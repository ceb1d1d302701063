// nftables through the nft program, limited to one table of ours. [LCK-5]
import { Fault } from "../../fault.ts";
import { singleLine } from "../../format/text.ts";
import { defined } from "../../format/defined.ts";
import type { Firewall } from "../../ports.ts";
import { type ExitResult, runToExit } from "../process/index.ts";
import { LISTING_BYTES_MAX, NFT_TIMEOUT_MS } from "./limits.ts";
import { canonicalTable } from "./canonical.ts";
import { replacementOf } from "./replacement.ts";

export interface FirewallOptions {
  /**
   * The command before nft's arguments: `["nft"]`, or a command that enters another network
   * namespace and ends in `nft`.
   */
  readonly command?: readonly [string, ...string[]];
}

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
    const { exitCode, stderr } = await nft([...args, "-f", "-"], replacementOf(table));
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
