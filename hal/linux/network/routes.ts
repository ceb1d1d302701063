// The main routing tables, as the kernel lists them. [LCK-31]
import { join } from "node:path";
import type { NetworkRoute } from "../../ports.ts";
import { readKernelFile } from "../files/index.ts";
import { ROUTES_BYTES_MAX, ROUTES_MAX } from "./limits.ts";

/** linux/route.h: the route is usable, and does not reject. */
const RTF_UP = 0x1;
const RTF_REJECT = 0x200;

/**
 * `proc/self/net` also exists under systemd's ProcSubset=pid; `proc/net` exists on a board that is
 * a folder.
 * @throws Fault `file.read-failed`.
 */
export async function readRoutes(root: string): Promise<readonly NetworkRoute[]> {
  const lines = async (name: string): Promise<readonly string[]> => await readNetList(root, name);
  const routes = [...(await lines("route")).flatMap(ipv4Route), ...(await lines("ipv6_route")).flatMap(ipv6Route)];
  return routes.filter(({ link }) => link !== "lo").slice(0, ROUTES_MAX);
}

/**
 * net/ipv4/fib_trie.c, fib_trie_seq_show: each table's name, then its prefixes and routes. It names
 * no link. The listing of IPv6 has the routes of all tables.
 * @returns whether a table that is not the main one has a default route of IPv4.
 * @throws Fault `file.read-failed`.
 */
export async function hasOtherDefault(root: string): Promise<boolean> {
  let table = "";
  for (const line of await readNetList(root, "fib_trie")) {
    if (/^\S/u.test(line)) table = line;
    else if (/^\s+\/0 universe UNICAST/u.test(line) && /^Id \d+:/u.test(table)) return true;
  }
  return false;
}

/** @returns whole lines. @throws Fault `file.read-failed`. */
export async function readNetList(root: string, name: string): Promise<readonly string[]> {
  const text =
    (await readKernelFile(join(root, "proc/self/net", name), ROUTES_BYTES_MAX)) ??
    (await readKernelFile(join(root, "proc/net", name), ROUTES_BYTES_MAX)) ??
    "";
  // drops a line that the bound has cut
  return text.slice(0, text.lastIndexOf("\n") + 1).split("\n");
}

/**
 * net/ipv4/fib_trie.c, fib_route_seq_show: interface, destination, gateway, flags, three counters,
 * mask. Addresses are numbers in the machine's own byte order.
 */
function ipv4Route(line: string): readonly NetworkRoute[] {
  const [link = "", destination = "", , flags = "", , , , mask = ""] = line.split(/\s+/u);
  if (!/^[0-9A-F]{8}$/iu.test(destination) || !/^[0-9A-F]{8}$/iu.test(mask) || !isUsable(flags)) return [];
  const bits = machineOrder(mask).map((byte) => byte.toString(2).padStart(8, "0"));
  return [{ link, family: 4, bytes: machineOrder(destination), length: bits.join("").split("0", 1)[0]?.length ?? 0 }];
}

/**
 * net/ipv6/route.c, rt6_info_route: destination, its length, source, its length, gateway, metric,
 * two counters, flags, interface.
 */
function ipv6Route(line: string): readonly NetworkRoute[] {
  const [destination = "", length = "", , , , , , , flags = "", link = ""] = line.trim().split(/\s+/u);
  if (!/^[0-9a-f]{32}$/u.test(destination) || !/^[0-9a-f]{2}$/u.test(length) || !isUsable(flags)) return [];
  return [{ link, family: 6, bytes: [...Buffer.from(destination, "hex")], length: Number.parseInt(length, 16) }];
}

function isUsable(flags: string): boolean {
  const bits = /^[0-9A-F]{1,8}$/iu.test(flags) ? Number.parseInt(flags, 16) : 0;
  return (bits & RTF_UP) !== 0 && (bits & RTF_REJECT) === 0;
}

/** Every machine that this Node runs on (x64, arm64) is little endian. */
function machineOrder(hex: string): readonly number[] {
  return [...Buffer.from(hex, "hex").reverse()];
}
