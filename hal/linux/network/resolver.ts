// The name servers that programs on this machine ask, and whether that is all there is to know.
// [LCK-31] [LCK-42]
import { isIP, SocketAddress } from "node:net";
import { join } from "node:path";
import type { NetworkFacts, Use } from "../../ports.ts";
import { readKernelFile } from "../files/index.ts";
import { listensOn } from "./connections.ts";
import { endOf, namesIn } from "./files.ts";
import { ownAddresses } from "./own-addresses.ts";
import { NAME_SERVERS_MAX, RESOLVER_BYTES_MAX, RESOLVER_FILES_MAX } from "./limits.ts";

type NameService = Pick<NetworkFacts, "nameServers" | "nameService" | "dnsOverTls">;

/**
 * resolv.conf(5), which C libraries read. Then what systemd-resolved and NetworkManager were given
 * for the resolvers on this machine that are theirs: these ask nobody else.
 */
const RESOLV_CONF = "etc/resolv.conf";
const RESOLVED = "run/systemd/resolve/resolv.conf";
const NETWORK_MANAGER = ["run/NetworkManager/no-stub-resolv.conf", "run/NetworkManager/resolv.conf"];

/** Lists that a resolver on this machine may ask, unless its own configuration says otherwise. */
const HINTS = [
  "run/dnsmasq/resolv.conf",
  "run/resolvconf/resolv.conf",
  "run/connman/resolv.conf",
  "tmp/resolv.conf.d/resolv.conf.auto",
  "tmp/resolv.conf.auto",
  "etc/resolv.dnsmasq.conf",
  "etc/resolv.conf.head",
  "etc/resolv.conf.tail",
];

/** systemd-resolved's stub, and its forwarder without DNSSEC (systemd-resolved.service(8)). */
const RESOLVED_STUBS = ["127.0.0.53", "127.0.0.54"];

interface ResolverFile {
  readonly text: string;
  /** As they are written. */
  readonly named: readonly string[];
  /** Those on other machines that a rule can name. */
  readonly servers: readonly string[];
}

/**
 * One server that a rule can name is enough: the others are asked beside it, or it is asked after
 * them. Where none is named at all, C libraries ask one on this machine, if there is one.
 * @throws Fault `file.read-failed`.
 */
export async function readNameService(root: string): Promise<NameService> {
  const here = await ownAddresses(root);
  const own = await readResolver(root, RESOLV_CONF, here);
  const resolved = await readResolver(root, RESOLVED, here);
  const dnsOverTls = resolved.named.length > 0 ? await resolvedTls(root) : "unused";
  const servers = [...own.servers, ...resolved.servers];
  // who asks systemd-resolved by another way than its stub has no stub in the file (nss-resolve(8))
  const isResolved = own.named.every((name) => RESOLVED_STUBS.includes(name)) && resolved.servers.length > 0;
  if (own.servers.length > 0 || isResolved) return told(servers, dnsOverTls);
  const manager = await first(root, NETWORK_MANAGER, here);
  // the resolver that NetworkManager runs is at this address (NetworkManager.conf(5), dns=dnsmasq)
  const isManagers = own.named.join() === "127.0.0.1" && own.text.includes("NetworkManager");
  if (isManagers && manager.servers.length > 0) return told(manager.servers, dnsOverTls);
  const hints = await Promise.all(HINTS.map((file) => readResolver(root, file, here)));
  const all = [...servers, ...manager.servers, ...hints.flatMap((hint) => hint.servers)];
  if (own.named.length === 0 && all.length === 0 && !(await listensOn(root, 53)))
    return { ...told([], "unused"), nameService: "unused" };
  return { ...told(all, "unknown"), nameService: "unknown" };
}

function told(servers: readonly string[], dnsOverTls: Use): NameService {
  return { nameServers: [...new Set(servers)].slice(0, NAME_SERVERS_MAX), nameService: "used", dnsOverTls };
}

async function first(root: string, files: readonly string[], here: ReadonlySet<string>): Promise<ResolverFile> {
  for (const file of files) {
    const found = await readResolver(root, file, here);
    if (found.servers.length > 0) return found;
  }
  return resolverFile("", here);
}

async function readResolver(root: string, file: string, here: ReadonlySet<string>): Promise<ResolverFile> {
  const path = await endOf(join(root, file)); // often a link
  return resolverFile(path === undefined ? "" : ((await readKernelFile(path, RESOLVER_BYTES_MAX)) ?? ""), here);
}

/**
 * As glibc reads it: what follows the address is ignored, such as the `# eth0` of udhcpc. Addresses
 * that are valid on one link only (`fe80::1%eth0`) can be named by no rule.
 */
function resolverFile(text: string, here: ReadonlySet<string>): ResolverFile {
  const named = [...text.matchAll(/^[^\S\n]*nameserver[^\S\n]+([^\s#;]+)(?=[\s#;]|$)/gmu)].map(([, name = ""]) => name);
  return { text, named, servers: named.flatMap((name) => serverOf(name)).filter((server) => !here.has(server)) };
}

function serverOf(name: string): readonly string[] {
  const family = isIP(name);
  if (family === 0 || name.includes("%")) return [];
  // in canonical form
  const { address } = new SocketAddress({ address: name, family: family === 4 ? "ipv4" : "ipv6" });
  return /^(?:127\.|0\.|::1?$|fe80:)/u.test(address) ? [] : [address];
}

/**
 * resolved.conf(5). An interface can have a setting of its own, so nothing in the file says no.
 * Opportunistic: it asks without TLS where that fails.
 */
async function resolvedTls(root: string): Promise<Use> {
  const folder = "etc/systemd/resolved.conf.d";
  const more = (await namesIn(join(root, folder))).slice(0, RESOLVER_FILES_MAX).map((name) => join(folder, name));
  const texts = ["etc/systemd/resolved.conf", ...more].map((file) => readKernelFile(join(root, file), RESOLVER_BYTES_MAX));
  const lines = (await Promise.all(texts)).flatMap((text = "") => text.split("\n"));
  return lines.some((line) => /^\s*DNSOverTLS\s*=\s*(?:yes|true|on|1)\s*$/iu.test(line)) ? "used" : "unknown";
}
