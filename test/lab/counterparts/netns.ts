// A network for a board: a namespace that one virtual cable joins to this machine. Needs root.
import { spawnSync } from "node:child_process";
import { randomInt } from "node:crypto";
import { Fault } from "../../../hal/fault.ts";

export interface BoardNetwork {
  readonly name: string;
  /** The address of this machine's end, on which the hub listens. */
  readonly hubAddress: string;
  readonly boardAddress: string;
  /** Words before a command that runs on the board's side. */
  readonly prefix: readonly [string, ...string[]];
  stop(): void;
}

function ip(...args: readonly string[]): void {
  const { status, stderr } = spawnSync("ip", args, { encoding: "utf8" });
  if (status !== 0) throw new Fault("process.failed", `ip ${args.join(" ")}: ${stderr.trim()}`);
}

/**
 * @param mac of the board's interface eth0.
 * @throws Fault `process.failed` where namespaces cannot be made.
 */
export function startBoardNetwork(mac: string): BoardNetwork {
  const number = randomInt(1, 16_000);
  const name = `sallyport-${process.pid}-${number}`;
  const cable = `sp${number}`;
  // 198.18.0.0/15 is reserved for tests (RFC 2544), so it is no real network.
  const base = `198.18.${Math.floor(number / 64)}`;
  const first = (number % 64) * 4;
  const [hubAddress, boardAddress] = [`${base}.${first + 1}`, `${base}.${first + 2}`];
  const stop = (): void => {
    // This removes the namespace's end of the cable, and with it the other end.
    spawnSync("ip", ["netns", "delete", name]);
  };
  ip("netns", "add", name);
  try {
    ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "address", mac, "netns", name);
    ip("address", "add", `${hubAddress}/30`, "dev", cable);
    ip("link", "set", cable, "up");
    ip("-n", name, "address", "add", `${boardAddress}/30`, "dev", "eth0");
    ip("-n", name, "link", "set", "eth0", "up");
    ip("-n", name, "link", "set", "lo", "up");
  } catch (error) {
    stop();
    throw error;
  }
  return { name, hubAddress, boardAddress, prefix: ["ip", "netns", "exec", name], stop };
}
