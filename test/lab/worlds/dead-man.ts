// A dead man's switch with a real shell, a played packet filter and a played USB tree.
import { spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { assert } from "../../../hal/fault.ts";
import { linuxDeadManSwitch } from "../../../hal/linux/firewall/index.ts";
import type { FileOps } from "../../../hal/linux/files/index.ts";
import type { DeadManSwitch, WayBack } from "../../../hal/ports.ts";
import { renderTable } from "../../../warden/lockdown/plan/table.ts";
import { type SwitchShells, switchShells } from "../counterparts/switch-shells.ts";
import { type FakeKernel, fakeKernel } from "../fakes/usb-tree.ts";
import type { TestContext } from "../runner/context.ts";
import { eventually } from "../runner/process.ts";
import { temporaryDirectory } from "../runner/temporary.ts";

export const HOUR_MS = 3_600_000;

export function wayBack(change: Partial<WayBack> = {}): WayBack {
  const table = renderTable({
    links: [{ name: "eth0", dhcp4: false, dhcp6: false, ipv6: false }],
    management: [],
    echo: "none",
    networkRules: [],
  });
  return { table, devices: [], ports: [], ...change };
}

export interface DeadManWorld {
  readonly root: string;
  readonly directory: string;
  readonly kernel: FakeKernel;
  readonly shells: SwitchShells;
  /** A program's view of the switch; each call is another program. */
  open(this: void, ops?: FileOps): DeadManSwitch;
  /** The tables that were loaded, by their files. */
  loaded(): Promise<readonly string[]>;
  /** Resolves when nft has begun, or ended, as many times. */
  nftHas(what: "begun" | "ended", times?: number): Promise<void>;
  /** While it is held, nft begins and does not end. */
  holdNft(): { release(): void };
  /** Words for a switch in a process of its own: nft, before its arguments. */
  readonly nft: readonly [string, ...string[]];
}

/** Everything that a program left behind ends with the test. */
export async function deadManWorld(t: TestContext): Promise<DeadManWorld> {
  const root = await temporaryDirectory(t);
  const directory = join(root, "dead-man");
  const log = join(root, "nft.log");
  const hold = join(root, "hold");
  const kernel = fakeKernel(root);
  kernel.addController(1, 4, "0");
  const shells = switchShells(directory);
  const logged = async (what: "begun" | "ended"): Promise<readonly string[]> =>
    (await readFile(log, "utf8").catch(() => ""))
      .split("\n")
      .filter((line) => line.startsWith(`${what} `))
      .map((line) => line.slice(what.length + 1));
  // `-f FILE` follows; a pipe without a writer holds it up
  const script = `echo "begun $2" >> "${log}"; [ ! -p "${hold}" ] || read -r released < "${hold}"; echo "ended $2" >> "${log}"`;
  const nft = ["/bin/sh", "-c", script, "nft"] as const;
  const open = (ops?: FileOps): DeadManSwitch =>
    linuxDeadManSwitch({ directory, root, command: nft, ...(ops === undefined ? {} : { ops }) });
  t.teardown(async () => {
    for (const armed of await shells.waiting()) await shells.wake(armed);
    await open().disarm();
    spawnSync("sh", ["-c", `[ ! -p "$1" ] || timeout 1 sh -c 'echo > "$1"' sh "$1"`, "sh", hold]);
  });
  return {
    root,
    directory,
    kernel,
    shells,
    open,
    loaded: () => logged("ended"),
    nftHas: async (what, times = 1) => {
      await eventually(`nft has ${what}`, async () => ((await logged(what)).length >= times ? true : undefined));
    },
    nft,
    holdNft: () => {
      assert(spawnSync("mkfifo", [hold]).status === 0, "a pipe can be made");
      return { release: () => void spawnSync("sh", ["-c", 'echo > "$1" && rm "$1"', "sh", hold]) };
    },
  };
}
