// The edges of the machine: what devices, firmware, the kernel and other programs say about it.
import { join } from "node:path";
import { canonicalTable, readListing } from "../../../hal/linux/firewall/canonical.ts";
import { LISTING_BYTES_MAX } from "../../../hal/linux/firewall/limits.ts";
import { linuxHardware } from "../../../hal/linux/identity/index.ts";
import { kernel, readLists } from "../../../hal/linux/network/dhcp/kernel.ts";
import { SETTINGS_BYTES_MAX, SOCKETS_BYTES_MAX } from "../../../hal/linux/network/dhcp/limits.ts";
import { networkd } from "../../../hal/linux/network/dhcp/managers.ts";
import { readNameService } from "../../../hal/linux/network/resolver.ts";
import { connectedTo } from "../../../hal/linux/network/connections.ts";
import { readKernelAnswer } from "../../../hal/linux/network/kernel.ts";
import { readRoutes } from "../../../hal/linux/network/routes.ts";
import {
  CONNECTIONS_BYTES_MAX,
  KERNEL_ANSWERS_MAX,
  KERNEL_BYTES_MAX,
  RESOLVER_BYTES_MAX,
  ROUTES_BYTES_MAX,
} from "../../../hal/linux/network/limits.ts";
import { linuxOps } from "../../../hal/linux/files/ops.ts";
import { provideAddon } from "../../../hal/linux/slots/addons.ts";
import { runningSlot } from "../../../hal/linux/slots/cmdline.ts";
import { parseEntry } from "../../../hal/linux/slots/entries.ts";
import { ADDON_BYTES_MAX, COMMAND_LINE_BYTES_MAX } from "../../../hal/linux/slots/limits.ts";
import { isNewEnough, reasonIn, versionIn } from "../../../hal/linux/tpm-provider/index.ts";
import { parseDescriptors } from "../../../hal/linux/usb/descriptors.ts";
import { DESCRIPTORS_BYTES_MAX } from "../../../hal/linux/usb/limits.ts";
import { portName } from "../../../hal/linux/usb/names.ts";
import { type Edge, hostileJson, notIgnored, padded, text } from "./edge.ts";
import { scratch } from "./scratch.ts";

const NAME_BYTES_MAX = 255;

export function machineEdges(): ReadonlyMap<string, Edge> {
  return new Map<string, Edge>([
    ["descriptors of a USB device", descriptorsEdge()],
    ["listing of nft", listingEdge()],
    ["answers of iproute2", answersEdge()],
    ...kernelEdges(),
    ...nameEdges(),
    ["add-on of a slot", addonEdge()],
    ["words of openssl", opensslEdge()],
  ]);
}

/** One device with one configuration of `rest`, and the number of interfaces that it claims. */
function device(rest: Uint8Array, interfaces: number, configurations = 1): Uint8Array {
  const head = Buffer.alloc(18);
  head.set([18, 1]);
  head[17] = configurations;
  const total = 9 + rest.byteLength;
  return Buffer.concat([head, Buffer.from([9, 2, total & 255, total >> 8, interfaces, 1, 0, 0, 0]), rest]);
}

function descriptorsEdge(): Edge {
  const room = DESCRIPTORS_BYTES_MAX - 18 - 9;
  const interfaceOf = (n: number): Uint8Array => Uint8Array.of(9, 4, n & 255, n >> 8, 0, n & 255, (n >> 8) & 255, 0, 0);
  const interfaces = (count: number): Uint8Array => Buffer.concat(Array.from({ length: count }, (_, n) => interfaceOf(n)));
  const short = text("\u0002\u0005", room - 1);
  return {
    bytesMax: DESCRIPTORS_BYTES_MAX,
    boundedBefore: true,
    take: parseDescriptors,
    valid: () => device(short(), 0),
    worst: new Map([
      ["short descriptors, and interfaces that are not there", () => device(short(), 255)],
      ["more interfaces than any device has", () => device(interfaces(Math.floor(room / 9)), 255)],
      ["a descriptor without a length", () => device(Buffer.alloc(room - 1), 0)],
      ["more configurations than there are", () => device(short(), 0, 8)],
      ["zeros", () => Buffer.alloc(DESCRIPTORS_BYTES_MAX)],
      ["ones", () => Buffer.alloc(DESCRIPTORS_BYTES_MAX, 255)],
    ]),
  };
}

function listingEdge(): Edge {
  const rule = (chain: string): object => ({ rule: { family: "inet", table: "sallyport", chain, expr: [{ accept: null }] } });
  const chain = (name: string): object => ({ chain: { name, type: "filter", hook: "input", prio: 0, policy: "drop" } });
  const names = Array.from({ length: 4000 }, (_, n) => `c${n}`);
  const listing = JSON.stringify({ nftables: [...names.map((name) => chain(name)), ...names.map((name) => rule(name))] });
  return {
    bytesMax: LISTING_BYTES_MAX,
    take: (bytes) => canonicalTable(readListing(Buffer.from(bytes).toString())),
    valid: () => padded(listing, LISTING_BYTES_MAX),
    worst: hostileJson(LISTING_BYTES_MAX, { nftables: ['{"nftables":', "}"] }),
  };
}

function answersEdge(): Edge {
  const route = { dst: "192.0.2.1", dev: "eth0", table: "main", flags: [], cache: [] };
  return {
    bytesMax: KERNEL_BYTES_MAX,
    boundedBefore: true,
    take: (bytes) => notIgnored(readKernelAnswer(Buffer.from(bytes).toString()).objects[0]),
    valid: () => padded(JSON.stringify(Array.from({ length: KERNEL_ANSWERS_MAX }, () => route)), KERNEL_BYTES_MAX),
    worst: hostileJson(KERNEL_BYTES_MAX, { list: ["[", "]"], dst: ['[{"dst":', "}]"], linkinfo: ['[{"linkinfo":', "}]"] }),
  };
}

/** Files of /proc, /sys and /etc under a root of the lab's. */
function kernelEdges(): readonly (readonly [string, Edge])[] {
  const root = (path: string, bytes: Uint8Array): string => {
    scratch.write(join("root", path), bytes);
    return scratch.path("root");
  };
  const edge = (
    path: string,
    bytesMax: number,
    valid: string,
    fills: readonly string[],
    read: (root: string) => unknown,
  ): Edge => ({
    bytesMax,
    boundedBefore: true, // the first bytes are read
    take: async (bytes) => await read(root(path, bytes)),
    valid: () => padded(valid, bytesMax),
    worst: new Map(fills.map((fill) => [JSON.stringify(fill), text(fill, bytesMax)])),
  });
  const some = <T>(list: readonly T[]): T => notIgnored(list[0]);
  return [
    [
      "resolv.conf",
      edge(
        "etc/resolv.conf",
        RESOLVER_BYTES_MAX,
        "nameserver 192.0.2.1\n",
        [" ", "nameserver ", "nameserver 1.1.1.1x\n", "\n", "nameserver ::::::::"],
        async (at) => some((await readNameService(at)).nameServers),
      ),
    ],
    [
      "routes of the kernel",
      edge(
        "proc/self/net/route",
        ROUTES_BYTES_MAX,
        "eth0\t00000000\t0102A8C0\t0003\t0\t0\t0\t00000000\n",
        ["a\t", " ", `${"eth0\t00000000\t0102A8C0\t0000\t0\t0\t0\t00000000".padEnd(127)}\n`],
        async (at) => some(await readRoutes(at)),
      ),
    ],
    [
      "state of a network manager",
      edge(
        "run/systemd/netif/links/2",
        SETTINGS_BYTES_MAX,
        "DHCP6_CLIENT_IAID=0xfe6d8796\n",
        ["[", "a=\n", " ", "[a]\n", "\n"],
        async (at) => some(await networkd(at, { name: "eth0", index: "2" })),
      ),
    ],
    [
      "sockets of the kernel",
      edge(
        "proc/self/net/packet",
        SOCKETS_BYTES_MAX,
        "sk RefCnt Type Proto Iface\n0 3 2 0800 2 1\n",
        ["\n", " ", "0 3 2 0800 3 1\n"],
        async (at) => some(await kernel(at, { name: "eth0", index: "2" }, await readLists(at, []))),
      ),
    ],
    [
      "connections of the kernel",
      edge(
        "proc/self/net/tcp",
        CONNECTIONS_BYTES_MAX,
        "0: 0100007F:8B2C 02000A0A:22B3 01\n",
        ["a ", " ", "0: 0100007F:8B2C 02000A0A:22B3 06\n", "0: 0100007F:8B2C 0A:22B3 01\n"],
        async (at) => some(await connectedTo(at, [8883])),
      ),
    ],
    [
      "command line of the kernel",
      edge(
        "proc/cmdline",
        COMMAND_LINE_BYTES_MAX,
        "quiet sallyport.slot=a",
        ["a", " ", "sallyport.slot=", " sallyport.slot=a"],
        runningSlot,
      ),
    ],
    [
      "serial number of the board",
      edge("sys/class/dmi/id/product_serial", 256, "SN-1\n", ["\0", "\n", " ", "\u00ff"], async (at) =>
        some((await linuxHardware({ root: at }).facts()).serials),
      ),
    ],
  ];
}

/** Names that a folder may hold: the kernel bounds them. */
function nameEdges(): readonly (readonly [string, Edge])[] {
  const edge = (valid: string, fills: readonly string[], read: (name: string) => unknown): Edge => ({
    bytesMax: NAME_BYTES_MAX,
    boundedBefore: true,
    take: (bytes) => notIgnored(read(Buffer.from(bytes).toString())),
    valid: () => Buffer.from(valid),
    worst: new Map(fills.map((fill) => [JSON.stringify(fill), text(fill, NAME_BYTES_MAX)])),
  });
  return [
    ["name of a kernel image", edge("gw_12_a+2-1.efi", ["gw_1", "9", "gw_1_a+1-1"], parseEntry)],
    ["name of a USB port", edge("1-1.2-port3", ["1-1", "1.", "usb1", "1-1.1.1"], portName)],
  ];
}

/** An add-on on the EFI system partition: more than the bound is refused before it is read. */
function addonEdge(): Edge {
  return {
    bytesMax: ADDON_BYTES_MAX + 1,
    boundedBefore: true,
    take: async (bytes) => {
      scratch.write("esp/EFI/sallyport/slot-a.addon.efi", bytes);
      scratch.write("esp/EFI/Linux/gw_1_a.efi.extra.d/slot.addon.efi", bytes);
      await provideAddon(linuxOps, scratch.path("esp"), scratch.path("esp/EFI/Linux"), { generation: 1, slot: "a" });
    },
    valid: text("a", ADDON_BYTES_MAX),
    worst: new Map([["a byte too many", text("a", ADDON_BYTES_MAX + 1)]]),
  };
}

function opensslEdge(): Edge {
  const bytesMax = 16_384;
  return {
    bytesMax,
    boundedBefore: true,
    take: (bytes) => {
      const words = Buffer.from(bytes).toString();
      return notIgnored(reasonIn(words) !== "" && isNewEnough(versionIn(words)) ? true : undefined);
    },
    valid: () => padded("Providers:\n  tpm2\n    name: TPM 2.0 Provider\n    version: 1.3.0\n", bytesMax),
    worst: new Map(
      ["\n", " ", "version:", "version: 1.", "0:error:0:", "é"].map((fill) => [JSON.stringify(fill), text(fill, bytesMax - 1)]),
    ),
  };
}
