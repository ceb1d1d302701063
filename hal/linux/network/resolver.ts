// The name servers that programs on this machine ask. [LCK-31]
import { isIP, SocketAddress } from "node:net";
import { join } from "node:path";
import { readKernelFile } from "../files/index.ts";
import { endOf } from "./files.ts";
import { NAME_SERVERS_MAX, RESOLVER_BYTES_MAX } from "./limits.ts";

/** resolv.conf(5), and the servers that systemd-resolved asks when it is in between. */
const FILES = ["etc/resolv.conf", "run/systemd/resolve/resolv.conf"];

/** @throws Fault `file.read-failed`. */
export async function readNameServers(root: string): Promise<readonly string[]> {
  const found: string[] = [];
  for (const file of FILES) {
    const path = await endOf(join(root, file)); // often a link
    const text = path === undefined ? "" : ((await readKernelFile(path, RESOLVER_BYTES_MAX)) ?? "");
    found.push(...text.split("\n").flatMap(serverOf));
  }
  return [...new Set(found)].slice(0, NAME_SERVERS_MAX);
}

/**
 * As glibc reads it: what follows the address is ignored, such as the `# eth0` of udhcpc.
 * Leaves out servers on this machine, and addresses that are valid on one link only
 * (`fe80::1%eth0`), because no rule can name them.
 */
function serverOf(line: string): readonly string[] {
  const text = /^\s*nameserver\s+([0-9A-Fa-f.:]{2,45})(?:[\s#;]|$)/u.exec(line)?.[1] ?? "";
  const family = isIP(text);
  if (family === 0) return [];
  // in canonical form
  const { address } = new SocketAddress({ address: text, family: family === 4 ? "ipv4" : "ipv6" });
  return /^(?:127\.|0\.|::1?$|fe80:)/u.test(address) ? [] : [address];
}
