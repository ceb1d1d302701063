// What a host on a link needs, protocol by protocol: each row of docs/lockdown-table.md as a packet
// that is really sent, and seen behind the planned table or not.
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { type Test, test } from "tap";
import { earlyFirewall } from "../../../../build/image/early-firewall.ts";
import { runProgram } from "../../../../hal/linux/process/index.ts";
import { planLockdown } from "../../../../warden/lockdown/plan/index.ts";
import { lacksProbeNetwork } from "../../../lab/counterparts/network-probe.ts";
import { needs } from "../../../lab/runner/needs.ts";
import { HANG_MS } from "../../../lab/runner/process.ts";
import { labPolicy, labSnapshot } from "../../../lab/worlds/lockdown.ts";
import { errorAbout, icmp, type LinkPacket, octal, socatAddress, tagged, udp } from "../../../lab/worlds/link-packets.ts";

/** Outside is a router, a server and a neighbour at once. */
const DEVICE = { link: "fe80::2", global: "fd5a:7::2", ipv4: "198.18.7.2" };
const OUTSIDE = { link: "fe80::1", global: "fd5a:7::1", far: "fd5a:9::1", ipv4: "198.18.7.1", far4: "198.18.8.1" };
const ALL_NODES = "ff02::1";
/** A flow that a network rule lets out, so that errors about it are related to it. */
const FLOW = { sport: 40_000, dport: 7000 };
const flow4 = { from: DEVICE.ipv4, to: OUTSIDE.ipv4, ...FLOW };
const flow6 = { from: DEVICE.global, to: OUTSIDE.global, ...FLOW };

type Row = readonly [LinkPacket, "passes" | "closed"];

/** By the names of docs/lockdown-table.md. */
const COMES_IN: Readonly<Record<string, Row>> = {
  "mld-query": [icmp(130, { from: OUTSIDE.link, to: ALL_NODES, hops: 1 }), "passes"],
  "mld-query-far": [icmp(130, { from: OUTSIDE.link, to: ALL_NODES, hops: 64 }), "closed"],
  "mld-query-global": [icmp(130, { from: OUTSIDE.global, to: ALL_NODES, hops: 1 }), "closed"],
  "mld-report-in": [icmp(131, { from: OUTSIDE.link, to: ALL_NODES, hops: 1 }), "closed"],
  "igmp-query": [{ ...icmp(0x11, { from: OUTSIDE.ipv4, to: "224.0.0.1", hops: 1 }), protocol: 2 }, "passes"],
  "igmp-query-far": [{ ...icmp(0x11, { from: OUTSIDE.ipv4, to: "224.0.0.1", hops: 64 }), protocol: 2 }, "closed"],
  solicitation: [icmp(135, { from: OUTSIDE.link, to: DEVICE.link, hops: 255 }), "passes"],
  "solicitation-far": [icmp(135, { from: OUTSIDE.far, to: DEVICE.global, hops: 254 }), "closed"],
  advertisement: [icmp(136, { from: OUTSIDE.link, to: ALL_NODES, hops: 255 }), "passes"],
  "router-advertisement": [icmp(134, { from: OUTSIDE.link, to: ALL_NODES, hops: 255 }), "passes"],
  "router-advertisement-far": [icmp(134, { from: OUTSIDE.link, to: ALL_NODES, hops: 64 }), "closed"],
  "router-solicitation-in": [icmp(133, { from: OUTSIDE.link, to: DEVICE.link, hops: 255 }), "closed"],
  "redirect6-in": [icmp(137, { from: OUTSIDE.link, to: DEVICE.link, hops: 255 }), "closed"],
  "router-renumbering": [icmp(138, { from: OUTSIDE.link, to: ALL_NODES, hops: 255 }), "closed"],
  "node-information": [icmp(139, { from: OUTSIDE.link, to: DEVICE.link, hops: 255 }), "closed"],
  "inverse-discovery": [icmp(141, { from: OUTSIDE.link, to: ALL_NODES, hops: 255 }), "closed"],
  "certification-path": [icmp(149, { from: OUTSIDE.link, to: ALL_NODES, hops: 255 }), "closed"],
  "multicast-router-discovery": [icmp(151, { from: OUTSIDE.link, to: ALL_NODES, hops: 1 }), "closed"],
  "echo-request-in": [icmp(128, { from: OUTSIDE.link, to: DEVICE.link, hops: 64 }), "closed"],
  "echo-request4-in": [icmp(8, { from: OUTSIDE.ipv4, to: DEVICE.ipv4, hops: 64 }), "closed"],
  "router-discovery4": [icmp(9, { from: OUTSIDE.ipv4, to: "224.0.0.1", hops: 1 }), "closed"],
  timestamp4: [icmp(13, { from: OUTSIDE.ipv4, to: DEVICE.ipv4, hops: 64 }), "closed"],
  "packet-too-big": [errorAbout(flow6, 2, 0, OUTSIDE.far), "passes"],
  unreachable6: [errorAbout(flow6, 1, 4, OUTSIDE.global), "passes"],
  "time-exceeded6": [errorAbout(flow6, 3, 0, OUTSIDE.far), "passes"],
  "parameter-problem6": [errorAbout(flow6, 4, 0, OUTSIDE.far), "passes"],
  "fragmentation-needed": [errorAbout(flow4, 3, 4, OUTSIDE.far4), "passes"],
  unreachable4: [errorAbout(flow4, 3, 3, OUTSIDE.ipv4), "passes"],
  "time-exceeded4": [errorAbout(flow4, 11, 0, OUTSIDE.far4), "passes"],
  "parameter-problem4": [errorAbout(flow4, 12, 0, OUTSIDE.far4), "passes"],
  redirect4: [errorAbout(flow4, 5, 1, OUTSIDE.ipv4), "closed"],
  "source-quench": [errorAbout(flow4, 4, 0, OUTSIDE.far4), "closed"],
  "error-about-nothing4": [errorAbout({ ...flow4, sport: 40_001 }, 3, 4, OUTSIDE.far4), "closed"],
  "error-about-nothing6": [errorAbout({ ...flow6, sport: 40_001 }, 2, 0, OUTSIDE.far), "closed"],
  "dhcp4-answer": [udp(67, 68, { from: OUTSIDE.ipv4, to: DEVICE.ipv4 }), "passes"],
  "dhcp4-other-address": [udp(67, 68, { from: OUTSIDE.far4, to: DEVICE.ipv4 }), "passes"],
  "dhcp4-other-port": [udp(1067, 68, { from: OUTSIDE.far4, to: DEVICE.ipv4 }), "passes"],
  "dhcp4-broadcast": [udp(67, 68, { from: OUTSIDE.ipv4, to: "255.255.255.255" }), "passes"],
  "dhcp4-to-a-server": [udp(68, 67, { from: OUTSIDE.ipv4, to: DEVICE.ipv4 }), "closed"],
  "dhcp6-answer": [udp(547, 546, { from: OUTSIDE.link, to: DEVICE.link }), "passes"],
  "dhcp6-other-port": [udp(5470, 546, { from: OUTSIDE.link, to: DEVICE.link }), "passes"],
  "dhcp6-global-server": [udp(547, 546, { from: OUTSIDE.global, to: DEVICE.link }), "passes"],
  "dhcp6-reconfigure": [udp(547, 546, { from: OUTSIDE.link, to: DEVICE.global }), "passes"],
  "dhcp6-reconfigure-far": [udp(547, 546, { from: OUTSIDE.far, to: DEVICE.global }), "closed"],
  "mdns-in": [udp(5353, 5353, { from: OUTSIDE.ipv4, to: "224.0.0.251", hops: 255 }), "closed"],
  "mdns6-in": [udp(5353, 5353, { from: OUTSIDE.link, to: "ff02::fb", hops: 255 }), "closed"],
  "llmnr-in": [udp(5355, 5355, { from: OUTSIDE.ipv4, to: "224.0.0.252", hops: 1 }), "closed"],
  "name-answer-unasked": [udp(53, 40_002, { from: OUTSIDE.ipv4, to: DEVICE.ipv4 }), "closed"],
  "time-answer-unasked": [udp(123, 123, { from: OUTSIDE.ipv4, to: DEVICE.ipv4 }), "closed"],
};
const GOES_OUT: Readonly<Record<string, Row>> = {
  "mld-report": [icmp(143, { from: DEVICE.link, to: "ff02::16", hops: 1 }), "passes"],
  "mld-report1": [icmp(131, { from: DEVICE.link, to: ALL_NODES, hops: 1 }), "passes"],
  "mld-done": [icmp(132, { from: DEVICE.link, to: "ff02::2", hops: 1 }), "passes"],
  "mld-query-out": [icmp(130, { from: DEVICE.link, to: ALL_NODES, hops: 1 }), "closed"],
  "igmp-report3": [{ ...icmp(0x22, { from: DEVICE.ipv4, to: "224.0.0.22", hops: 1 }), protocol: 2 }, "passes"],
  "igmp-report2": [{ ...icmp(0x16, { from: DEVICE.ipv4, to: "239.1.2.3", hops: 1 }), protocol: 2 }, "passes"],
  "igmp-report1": [{ ...icmp(0x12, { from: DEVICE.ipv4, to: "239.1.2.3", hops: 1 }), protocol: 2 }, "passes"],
  "igmp-leave": [{ ...icmp(0x17, { from: DEVICE.ipv4, to: "224.0.0.2", hops: 1 }), protocol: 2 }, "passes"],
  "solicitation-out": [icmp(135, { from: DEVICE.link, to: OUTSIDE.link, hops: 255 }), "passes"],
  "advertisement-out": [icmp(136, { from: DEVICE.link, to: ALL_NODES, hops: 255 }), "passes"],
  "router-solicitation": [icmp(133, { from: DEVICE.link, to: "ff02::2", hops: 255 }), "passes"],
  "router-advertisement-out": [icmp(134, { from: DEVICE.link, to: ALL_NODES, hops: 255 }), "closed"],
  "redirect6-out": [icmp(137, { from: DEVICE.link, to: OUTSIDE.link, hops: 255 }), "closed"],
  "echo-request-out": [icmp(128, { from: DEVICE.link, to: OUTSIDE.link, hops: 64 }), "closed"],
  "echo-request4-out": [icmp(8, { from: DEVICE.ipv4, to: OUTSIDE.ipv4, hops: 64 }), "closed"],
  "dhcp4-discover": [udp(68, 67, { from: DEVICE.ipv4, to: "255.255.255.255" }), "passes"],
  "dhcp4-renew": [udp(68, 67, { from: DEVICE.ipv4, to: OUTSIDE.ipv4 }), "passes"],
  "dhcp6-solicit": [udp(546, 547, { from: DEVICE.link, to: "ff02::1:2" }), "passes"],
  "dhcp6-unicast": [udp(546, 547, { from: DEVICE.global, to: OUTSIDE.global }), "passes"],
  "mdns-out": [udp(5353, 5353, { from: DEVICE.link, to: "ff05::fb", hops: 255 }), "closed"],
  "llmnr-out": [udp(40_003, 5355, { from: DEVICE.link, to: "ff02::1:3", hops: 1 }), "closed"],
  "name-question": [udp(40_004, 53, { from: DEVICE.ipv4, to: OUTSIDE.ipv4 }), "closed"],
  "time-question": [udp(123, 123, { from: DEVICE.ipv4, to: OUTSIDE.ipv4 }), "closed"],
};

const bounds = { timeoutMs: HANG_MS, outputBytesMax: 1 << 22 };
/** The device is a member, so the kernel takes what is sent to them. It sends to others. */
const GROUPS = ["224.0.0.251/32", "224.0.0.252/32", "ff02::fb/128"];

/** The device with every address at one end of a cable, and the other end with all of them. */
async function openCable(t: Test) {
  const id = randomBytes(3).toString("hex");
  const [device, outside] = [`dev-${id}`, `out-${id}`];
  const into = async (name: string, script: string): Promise<string> =>
    (await runProgram("ip", ["netns", "exec", name, "sh", "-c", script], bounds)).stdout;
  t.teardown(async () => {
    for (const name of [device, outside]) await runProgram("ip", ["netns", "delete", name], bounds).catch(() => undefined);
  });
  for (const name of [device, outside]) await runProgram("ip", ["netns", "add", name], bounds);
  await runProgram("ip", ["-n", outside, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", device], bounds);
  const addresses = { [device]: [DEVICE, ["198.18.7.2/24"]], [outside]: [OUTSIDE, ["198.18.7.1/24", "198.18.8.1/24"]] } as const;
  for (const [name, [own, ipv4]] of Object.entries(addresses)) {
    const ipv6 = Object.values(own).filter((address) => address.includes(":"));
    const commands = [
      "ip link set lo up; ip link set eth0 addrgenmode none; ip link set eth0 up",
      ...[...ipv4, ...ipv6.map((address) => `${address}/64`)].map(
        (address) => `ip address add ${address} dev eth0 ${address.includes(":") ? "nodad" : ""}`,
      ),
      // packets from the far addresses have a way back
      ...(name === device ? ["ip route add 198.18.8.0/24 dev eth0", "ip -6 route add fd5a:9::/64 dev eth0"] : []),
      ...(name === device ? GROUPS.map((group) => `ip address add ${group} dev eth0 autojoin`) : []),
    ];
    await into(name, commands.join("\n"));
  }
  return { device: (script: string) => into(device, script), outside: (script: string) => into(outside, script) };
}

type Cable = Awaited<ReturnType<typeof openCable>>;
const NAMES = [...Object.keys(COMES_IN), ...Object.keys(GOES_OUT)];

/** A chain behind ours sees what ours has accepted. It counts rows by the marks in packets. */
function observer(): string {
  const counters = (link: string, rows: Readonly<Record<string, Row>>): string =>
    Object.entries(rows)
      .map(
        ([name, [packet]]) =>
          `${link} "eth0" @th,${packet.tagAt},32 ${tagged(NAMES.indexOf(name), packet)} counter comment "${name}"`,
      )
      .join("\n");
  return `table inet observer {
    chain in { type filter hook input priority 100;\n${counters("iifname", COMES_IN)}\n}
    chain out { type filter hook postrouting priority 100;\n${counters("oifname", GOES_OUT)}\n}
  }`;
}

/** Sends every packet once. @returns the names of those that were seen behind the table. */
async function seenBehind(cable: Cable, table: string): Promise<readonly string[]> {
  await cable.device(`nft delete table inet sallyport 2>&1; nft delete table inet observer 2>&1
    nft -f - <<'END'\n${table}\n${observer()}\nEND`);
  const sends = (rows: Readonly<Record<string, Row>>): string =>
    Object.entries(rows)
      .map(
        ([name, [packet]]) => `printf '${octal(packet, NAMES.indexOf(name))}' | socat -u STDIN '${socatAddress(packet)}' || true`,
      )
      .join("\n");
  await cable.device(
    [flow4, flow6]
      .map((flow) => `echo flow | socat -u STDIN '${socatAddress(udp(flow.sport, flow.dport, flow))}' || true`)
      .join("\n"),
  );
  await cable.outside(sends(COMES_IN));
  await cable.device(sends(GOES_OUT));
  const listed = await cable.device("nft list table inet observer");
  const counts = listed.matchAll(/counter packets (\d+) bytes \d+ comment "([a-z0-9-]+)"/gu);
  return [...counts].flatMap(([, count, name]) => (name === undefined || count === "0" ? [] : [name]));
}

const tableOf = (link: Readonly<Record<string, boolean>>): string =>
  planLockdown(
    labPolicy({
      links: [{ name: "eth0", ...link }],
      network: { outbound: [{ protocol: "udp", ports: [FLOW.dport], to: "any" }] },
    }),
    labSnapshot(),
  ).firewall;
const expected = (...but: readonly RegExp[]): readonly string[] =>
  Object.entries({ ...COMES_IN, ...GOES_OUT }).flatMap(([name, [, verdict]]) =>
    verdict === "passes" && !but.some((pattern) => pattern.test(name)) ? [name] : [],
  );

test(
  "[LCK-52] [LCK-53] what a host on a link needs passes, and nothing else of the kind",
  { skip: lacksProbeNetwork("netns") || needs("socat") },
  async (t) => {
    // each on a cable of its own, because the kernel remembers connections
    const seen = async (table: string): Promise<readonly string[]> => await seenBehind(await openCable(t), table);
    const ipv6 = Object.entries({ ...COMES_IN, ...GOES_OUT }).filter(([, [{ to }]]) => to.includes(":"));
    const verdicts = await Promise.all([
      seen("table inet sallyport {}"),
      seen(tableOf({ dhcp4: true, dhcp6: true, ipv6: true })),
      seen(tableOf({ ipv6: true })),
      seen(tableOf({ dhcp4: true, dhcp6: true })),
      seen(earlyFirewall([8443])),
    ]);
    t.same(verdicts[0], NAMES, "control: without a table every packet is seen");
    t.same(verdicts[1], expected());
    t.same(verdicts[2], expected(/dhcp/u), "without DHCP");
    t.same(verdicts[3], expected(...ipv6.map(([name]) => new RegExp(`^${name}$`, "u"))), "a link without IPv6");
    // it lets names be looked up, and no flow out about which there could be an error
    const early = [
      ...expected(/^(?:packet-too-big|fragmentation-needed|unreachable|time-exceeded|parameter-problem)/u),
      "name-question",
    ];
    t.same([...(verdicts[4] ?? [])].sort(), early.sort(), "the image's early table");
  },
);

test("[LCK-52] docs/lockdown-table.md names each of these packets, and none that is not sent", async (t) => {
  const text = readFileSync(new URL("../../../../docs/lockdown-table.md", import.meta.url), "utf8");
  const named = [...text.matchAll(/`#([a-z0-9-]+)`/gu)].map(([, name]) => name ?? "");
  t.same([...new Set(named)].sort(), [...NAMES].sort());
});
