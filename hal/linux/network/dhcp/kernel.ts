// What the kernel itself shows of DHCP: addresses with a lifetime, routes by DHCP, and the sockets
// of a client, whatever its name is. [LCK-51]
import { join } from "node:path";
import { Fault } from "../../../fault.ts";
import { readKernelFile } from "../../files/index.ts";
import { attribute } from "../files.ts";
import { askKernel, type KernelObject } from "../kernel.ts";
import { type Finding, literal, type Sought, unused, used } from "./finding.ts";
import { ADDRESSES_MAX, SOCKETS_BYTES_MAX } from "./limits.ts";

type Listed = readonly KernelObject[];

/** In seconds: INFINITY_LIFE_TIME of linux/if_addr.h. */
const FOREVER_S = 0xffff_ffff;

/**
 * Asks iproute2 once for all links.
 * @returns nothing where it is missing, has no JSON (busybox) or does not answer: then its part of
 *   the view is not known.
 */
export async function askAddresses(ip: string): Promise<Listed> {
  try {
    return (await askKernel(ip, ["address show", "route show table all proto dhcp"])).objects;
  } catch (error) {
    if (error instanceof Fault) return [];
    throw error;
  }
}

/** DHCPv4's lifetimes show in no file. SLAAC is a matter of IPv6. */
export function leased4({ name }: Sought, listed: Listed): readonly Finding[] {
  const addresses = listed.flatMap(({ ifname, addr_info }) => (ifname === name ? (addr_info ?? []) : []));
  const lease = addresses.find(
    ({ family, scope, valid_life_time: s = FOREVER_S }) => family === "inet" && scope !== "link" && s < FOREVER_S,
  );
  const route = listed.find(
    ({ dev, protocol, dst, gateway }) => dev === name && protocol === "dhcp" && !`${dst}${gateway}`.includes(":"),
  );
  return [
    ...(lease === undefined ? [] : [used(4, `the lifetime of its address ${lease.local}`)]),
    ...(route === undefined ? [] : [used(4, `its route by DHCP to ${route.dst}`)]),
  ];
}

/** include/uapi/linux/if_addr.h, as /proc/net/if_inet6 has them. */
const IFA_F_TEMPORARY = 0x01;
const IFA_F_PERMANENT = 0x80;

export interface KernelLists {
  readonly inet6: string | undefined;
  readonly udp: string | undefined;
  readonly udp6: string;
  readonly packet: string;
  readonly addresses: Listed;
}

/** Each list is read from the process's own view first, which exists under ProcSubset=pid too. */
export async function readLists(root: string, addresses: Listed): Promise<KernelLists> {
  const read = async (name: string): Promise<string | undefined> =>
    (await readKernelFile(join(root, "proc/self/net", name), SOCKETS_BYTES_MAX)) ??
    (await readKernelFile(join(root, "proc/net", name), SOCKETS_BYTES_MAX));
  return {
    inet6: await read("if_inet6"),
    udp: await read("udp"),
    udp6: (await read("udp6")) ?? "",
    packet: (await read("packet")) ?? "",
    addresses,
  };
}

/**
 * An address of DHCPv6 stands alone (a prefix of 128 bits, RFC 8415 section 18.2.10.1) and has a
 * lifetime; one of SLAAC has the length of its prefix.
 */
export async function kernel(root: string, link: Sought, lists: KernelLists): Promise<readonly Finding[]> {
  const line = new RegExp(`^([0-9a-f]{32}) [0-9a-f]+ ([0-9a-f]+) ([0-9a-f]+) ([0-9a-f]+) +${literal(link.name)}$`, "gmu");
  const own = [...(lists.inet6 ?? "").matchAll(line)].slice(0, ADDRESSES_MAX);
  const leased = own.some(([, , length, scope, flags = ""]) => length === "80" && scope === "00" && lasts(flags));
  const disabled = (await attribute(join(root, "proc/sys/net/ipv6/conf", link.name), "disable_ipv6")) === "1";
  return [
    ...leased4(link, lists.addresses),
    ...(leased ? [used(6, "an address of 128 bits with a lifetime, in /proc/net/if_inet6")] : []),
    ...sockets4(link, lists),
    ...(own.some(([, address = ""]) => lists.udp6.includes(` ${hex6(address)}:${CLIENT6} `))
      ? [used(6, "a socket on UDP port 546 of its address")]
      : []),
    ...(lists.inet6 === undefined && lists.udp !== undefined ? [unused(6, "a kernel without IPv6")] : []),
    ...(disabled ? [unused(6, `/proc/sys/net/ipv6/conf/${link.name}/disable_ipv6`)] : []),
  ];
}

function lasts(flags: string): boolean {
  return (Number.parseInt(flags, 16) & (IFA_F_PERMANENT | IFA_F_TEMPORARY)) === 0;
}

/** RFC 2131 section 4.1 and RFC 8415 section 7.2: ports 68 and 546, as the kernel prints them. */
const CLIENT4 = "0044";
const CLIENT6 = "0222";

/**
 * Clients of DHCPv4 listen to packets of IPv4 on a link (ETH_P_IP of linux/if_ether.h) before they
 * have an address. dhclient and dhcpcd take all packets (ETH_P_ALL), as a sniffer does, so these
 * count only beside a socket on the client's port.
 */
function sockets4({ name, index }: Sought, { udp = "", packet, addresses }: KernelLists): readonly Finding[] {
  const own = addresses.flatMap(({ ifname, addr_info }) => (ifname === name ? (addr_info ?? []) : []));
  const ipv4 = own.flatMap(({ family, local }) => (family === "inet" && local !== undefined ? [hex4(local)] : []));
  const protocols = udp.includes(` 00000000:${CLIENT4} `) ? "0800|0003" : "0800";
  const listener = new RegExp(`^\\S+ +\\d+ +\\d+ +(?:${protocols}) +${literal(index)} `, "mu");
  return [
    ...(ipv4.some((address) => udp.includes(` ${address}:${CLIENT4} `))
      ? [used(4, "a socket on UDP port 68 of its address")]
      : []),
    ...(index !== "" && listener.test(packet) ? [used(4, "a packet socket of a DHCP client, in /proc/net/packet")] : []),
  ];
}

/** In words of the machine's byte order. Every machine that this Node runs on is little endian. */
function hex4(address: string): string {
  return Buffer.from(address.split(".").map(Number).reverse()).toString("hex").toUpperCase();
}

function hex6(address: string): string {
  const words = address.match(/.{8}/gu) ?? [];
  return words
    .map((word) => Buffer.from(word, "hex").reverse().toString("hex"))
    .join("")
    .toUpperCase();
}
