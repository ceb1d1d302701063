// nftables through the nft program, limited to one table of ours. [LCK-5]
import { Fault } from "../../fault.ts";
import { singleLine } from "../../format/text.ts";
import type { Clock, Firewall, WatchedFirewall } from "../../ports.ts";
import { linuxClock } from "../clock/index.ts";
import { type ExitResult, runToExit } from "../process/index.ts";
import { canonicalTable, readListing } from "./canonical.ts";
import { LISTING_BYTES_MAX, NFT_TIMEOUT_MS } from "./limits.ts";
import { OwnProcesses, watchTable } from "./monitor.ts";
import { LIST, replaceInOneProcess, type RunNft } from "./one-process.ts";
import { replacementLine, replacementOf } from "./replacement.ts";

export interface FirewallOptions {
  /**
   * The command before nft's arguments: `["nft"]`, or a command that enters another network
   * namespace and ends in `nft`.
   */
  readonly command?: readonly [string, ...string[]];
  readonly clock?: Pick<Clock, "sleep" | "monotonicMs">;
}

/** The part of nft's error output that goes into a fault's message. */
const ERROR_TEXT_UNITS_MAX = 500;

/** Needs nft, and CAP_NET_ADMIN in the network namespace that `command` enters. */
export function linuxFirewall({ command = ["nft"], clock = linuxClock() }: FirewallOptions = {}): WatchedFirewall {
  const [program, ...before] = command;
  const own = new OwnProcesses();
  const bounds = { timeoutMs: NFT_TIMEOUT_MS, outputBytesMax: LISTING_BYTES_MAX };
  const firewall = firewallBy((args, options) =>
    runToExit(program, [...before, ...args], {
      ...bounds,
      ...options,
      // what has an input changes the table
      ...(options.input === undefined ? {} : { onStart: own.note }),
    }),
  );
  return {
    replace: (table) => firewall.replace(table),
    read: () => firewall.read(),
    watch: (changed, report, signal) => watchTable({ command, own, clock }, changed, report, signal),
  };
}

/** A firewall by a bounded way to run nft. */
export function firewallBy(nft: RunNft): Firewall {
  return new NftFirewall(nft);
}

class NftFirewall implements Firewall {
  readonly #nft: RunNft;
  #oneProcess = true;

  constructor(nft: RunNft) {
    this.#nft = nft;
  }

  async replace(table: string): Promise<string | undefined> {
    const line = this.#oneProcess ? replacementLine(table) : undefined;
    const shown = line === undefined ? undefined : await replaceInOneProcess(line, this.#nft);
    if (typeof shown === "object" && shown.table === table) return table;
    // [LCK-26] whatever came of it, the same replacement again is harmless, and a refusal shows in
    // the exit code
    const refusal = await this.#load(replacementOf(table));
    if (refusal !== undefined && (shown === undefined || shown === "refusal")) throw refusal;
    const found = await this.read();
    if (refusal !== undefined && found !== table) throw refusal;
    // two processes did what one did not, which may have cost a timeout
    if (shown !== undefined && found === table) this.#oneProcess = false;
    return found;
  }

  async read(): Promise<string | undefined> {
    const listed = await this.#nft(["-j", "-p", ...LIST.split(" ")], {});
    if (listed.exitCode === 0) return canonicalTable(readListing(listed.stdout));
    const tables = await this.#nft(["list", "tables"], {});
    if (tables.exitCode === 0 && !tables.stdout.split("\n").includes("table inet sallyport")) return undefined;
    throw new Fault("firewall.unreadable", `read the firewall: ${ending(listed)}; it needs CAP_NET_ADMIN`);
  }

  /** @returns the refusal. */
  async #load(input: string): Promise<Fault | undefined> {
    const result = await this.#nft(["-f", "-"], { input });
    return result.exitCode === 0 ? undefined : new Fault("firewall.refused", `replace the firewall: ${ending(result)}`);
  }
}

function ending({ exitCode, stderr }: ExitResult): string {
  return `nft ended with code ${exitCode}: ${singleLine(stderr, ERROR_TEXT_UNITS_MAX)}`;
}
