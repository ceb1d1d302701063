// Packets of the protocols of a link, as socat sends them by a raw or a UDP socket. Each has a mark
// by which a packet filter counts it.

export interface LinkPacket {
  /** IANA's number. */
  readonly protocol: number;
  readonly from: string;
  readonly to: string;
  readonly hops: number;
  readonly ports?: readonly [from: number, to: number];
  /** What follows the header of IP or UDP; undefined for the mark alone. */
  readonly bytes: Buffer;
  /** Where the mark is, in bits from the begin of the transport header. */
  readonly tagAt: 32 | 64;
}

interface Ends {
  readonly from: string;
  readonly to: string;
}

/** By the type of ICMP, ICMPv6 or IGMP: four bytes, four of other fields, then the mark. */
export function icmp(type: number, { from, to, hops }: Ends & { readonly hops: number }): LinkPacket {
  return {
    protocol: to.includes(":") ? 58 : 1,
    from,
    to,
    hops,
    bytes: Buffer.concat([Buffer.from([type]), Buffer.alloc(31)]),
    tagAt: 64,
  };
}

export function udp(source: number, destination: number, { from, to, hops = 64 }: Ends & { readonly hops?: number }): LinkPacket {
  return { protocol: 17, from, to, hops, ports: [source, destination], bytes: Buffer.alloc(4), tagAt: 64 };
}

/**
 * An error about a flow that left the device (RFC 792, RFC 4443): it quotes the headers of one of
 * its packets.
 */
export function errorAbout(
  flow: Ends & { readonly sport: number; readonly dport: number },
  type: number,
  code: number,
  from: string,
): LinkPacket {
  const ports = Buffer.alloc(8);
  ports.writeUInt16BE(flow.sport, 0);
  ports.writeUInt16BE(flow.dport, 2);
  ports.writeUInt16BE(8, 4);
  const quoted = flow.to.includes(":") ? header6(flow) : header4(flow);
  const bytes = Buffer.concat([Buffer.from([type, code, 0, 0, 0, 0, 0, 0]), quoted, ports]);
  return { protocol: flow.to.includes(":") ? 58 : 1, from, to: flow.from, hops: 64, bytes, tagAt: 32 };
}

function header4({ from, to }: Ends): Buffer {
  const fields = Buffer.from([
    0x45,
    0,
    0,
    28,
    0,
    1,
    0x40,
    0,
    64,
    17,
    0,
    0,
    ...from.split(".").map(Number),
    ...to.split(".").map(Number),
  ]);
  fields.writeUInt16BE(checksum(fields), 10);
  return fields;
}

function header6({ from, to }: Ends): Buffer {
  return Buffer.concat([Buffer.from([0x60, 0, 0, 0, 0, 8, 17, 64]), address6(from), address6(to)]);
}

/** With `::` in its middle. */
function address6(text: string): Buffer {
  const [head = "", tail = ""] = text.split("::").map((half) =>
    half
      .split(":")
      .map((word) => word.padStart(4, "0"))
      .join(""),
  );
  return Buffer.from(head.padEnd(32 - tail.length, "0") + tail, "hex");
}

/** RFC 1071. */
function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += bytes.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** The mark of packet `number`, as nft writes it. */
export function tagged(number: number, { tagAt }: LinkPacket): string {
  // where it lies in the field of an error that names an MTU, it is far above any
  return `0x${(tagAt === 32 ? 0x0005_a000 + number : 0x5a5a_0000 + number).toString(16)}`;
}

/** The bytes that socat sends, for printf(1). The kernel makes the checksums of UDP and ICMPv6. */
export function octal(packet: LinkPacket, number: number): string {
  const bytes = Buffer.from(packet.bytes);
  bytes.writeUInt32BE(Number(tagged(number, packet)), packet.protocol === 17 ? 0 : packet.tagAt / 8);
  if (packet.protocol === 1 || packet.protocol === 2) bytes.writeUInt16BE(checksum(bytes), 2);
  return [...bytes].map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");
}

/** socat(1): the link is named by its device, so addresses need no zone. */
export function socatAddress({ protocol, from, to, hops, ports }: LinkPacket): string {
  const ipv6 = to.includes(":");
  const bracketed = (address: string): string => (ipv6 ? `[${address}]` : address);
  const kind = `${protocol === 17 ? "UDP" : "IP"}${ipv6 ? 6 : 4}-SENDTO`;
  // linux/in6.h: IPV6_UNICAST_HOPS, IPV6_MULTICAST_HOPS
  const limits = ipv6
    ? [`setsockopt-int=41:16:${hops}`, `setsockopt-int=41:18:${hops}`]
    : [`ip-ttl=${hops}`, `ip-multicast-ttl=${hops}`];
  const bind = `bind=${bracketed(from)}${ports === undefined ? "" : `:${ports[0]}`}`;
  return [
    `${kind}:${bracketed(to)}:${ports?.[1] ?? protocol}`,
    bind,
    "so-bindtodevice=eth0",
    "so-broadcast",
    "reuseaddr",
    ...limits,
  ].join(",");
}
