// Listings by their meaning: each form that libnftables-json(5) allows reads as the same table, and
// a table that means anything else never does.
import { test } from "tap";
import { canonicalTable, readListing } from "../../../../hal/linux/firewall/canonical.ts";
import { linuxFirewall } from "../../../../hal/linux/firewall/index.ts";
import { mergeIntervals } from "../../../../hal/format/intervals.ts";
import { planLockdown } from "../../../../warden/lockdown/plan/index.ts";
import { nftBuild } from "../../../lab/counterparts/nft-builds.ts";
import { lacksProbeNetwork, openEmptyNetwork } from "../../../lab/counterparts/network-probe.ts";
import { needs } from "../../../lab/runner/needs.ts";
import { labPolicy, labSnapshot } from "../../../lab/worlds/lockdown.ts";

type Json = Readonly<Record<string, unknown>>;

const ours = { family: "inet", table: "sallyport" };
const match = (left: unknown, right: unknown, op = "=="): Json => ({ match: { op, left, right } });
const payload = (protocol: string, field: string): Json => ({ payload: { protocol, field } });
const meta = (key: string): Json => ({ meta: { key } });
const ct = (key: string): Json => ({ ct: { key } });
const TABLE = { family: "inet", name: "sallyport", handle: 1 };
const CHAIN = { ...ours, name: "input", handle: 2, type: "filter", hook: "input", prio: 0, policy: "drop" };
const FIXED = { ...ours, name: "management4", handle: 3, type: "ipv4_addr", flags: ["interval"], elem: ["198.18.7.3"] };
const FILLING = {
  ...ours,
  name: "askers4",
  handle: 4,
  type: ["ipv4_addr", "inet_service", "inet_service"],
  size: 1024,
  flags: ["timeout", "dynamic"],
  timeout: 10,
};
const ASKER = { concat: [payload("ip", "saddr"), payload("udp", "sport"), payload("udp", "dport")] };
const PARTS = {
  state: match(ct("state"), "established", "in"),
  direction: match(ct("direction"), "reply"),
  protocol: match(meta("l4proto"), { set: [1, 58] }),
  neighbour: match(payload("icmpv6", "type"), { set: ["nd-neighbor-advert", "mld-listener-done"] }),
  ping: match(payload("icmp", "type"), "echo-request"),
  nfproto: match(meta("nfproto"), "ipv6"),
  cast: match(meta("pkttype"), { set: ["broadcast", "multicast"] }),
  link: match(meta("iifname"), "eth0"),
  from: match(payload("ip", "saddr"), { set: [{ prefix: { addr: "10.0.0.0", len: 24 } }, "192.0.2.1"] }),
  from6: match(payload("ip6", "saddr"), "2001:db8::7"),
  ports: match(payload("tcp", "dport"), { set: [22, { range: [80, 82] }] }),
  port: match(payload("udp", "dport"), 1900),
  note: { set: { op: "update", elem: ASKER, set: "@askers4" } },
  verdict: { accept: null },
  reject: { reject: { type: "icmpx", expr: "admin-prohibited" } },
} as const satisfies Record<string, Json>;
type Part = keyof typeof PARTS;

interface Change extends Partial<Record<Part, unknown>> {
  readonly table?: Json;
  readonly chain?: Json;
  readonly fixed?: Json;
  readonly filling?: Json;
  /** Members of each rule besides its expressions. */
  readonly rule?: Json;
  readonly more?: readonly Json[];
}

/** One rule for each part, so that each change is seen. */
function textOf({ table, chain, fixed, filling, rule, more = [], ...parts }: Change): string {
  const exprs = Object.entries({ ...PARTS, ...parts }).map(([, part]) => (part === undefined ? [] : [part].flat()));
  return canonicalTable(
    readListing(
      JSON.stringify({
        nftables: [
          { metainfo: { version: "1.1.4", json_schema_version: 1 } },
          { table: { ...TABLE, ...table } },
          { chain: { ...CHAIN, ...chain } },
          { set: { ...FIXED, ...fixed } },
          { set: { ...FILLING, ...filling } },
          ...exprs.map((expr, i) => ({ rule: { ...ours, chain: "input", handle: 10 + i, expr, ...rule } })),
          ...more,
        ],
      }),
    ),
  );
}

const WANTED = textOf({});
const elem = (val: unknown, members: Json = {}): Json => ({ elem: { val, ...members } });
const passing = elem({ concat: ["198.18.7.1", 42_038, 1900] }, { expires: 7 });

const SAME: Readonly<Record<string, Change>> = {
  "a flag as text": { fixed: { flags: "interval" } },
  "a type as a list": { fixed: { type: ["ipv4_addr"] } },
  "one element alone": { fixed: { elem: "198.18.7.3" } },
  "an element object": { fixed: { elem: [elem("198.18.7.3", { comment: "lab" })] } },
  "an element with a counter": { fixed: { elem: elem("198.18.7.3", { counter: { packets: 1, bytes: 2 } }) } },
  "a prefix of full length": { fixed: { elem: { prefix: { addr: "198.18.7.3", len: 32 } } } },
  "a range of one address": { fixed: { elem: { range: ["198.18.7.3", "198.18.7.3"] } } },
  "what only concerns the set's memory": { fixed: { policy: "memory", "gc-interval": 9, "auto-merge": true, comment: "x" } },
  "nft 1.0 does not list the flag dynamic": { filling: { flags: ["timeout"] } },
  "flags in another order": { filling: { flags: ["dynamic", "timeout"] } },
  "one flag of two": { filling: { flags: "timeout" } },
  "who asked just now": { filling: { elem: [passing, elem({ concat: ["198.18.7.9", 5, 1900] }, { expires: 10 })] } },
  "one who asked, alone": { filling: { elem: passing } },
  "other handles": { table: { handle: 99 }, chain: { handle: 99 }, rule: { handle: 99 } },
  "a comment": { table: { comment: "lab" }, chain: { comment: "lab" }, rule: { comment: "lab" } },
  "a priority by name": { chain: { prio: "filter" } },
  "a priority as text": { chain: { prio: "0" } },
  "a number for a connection's state": { state: match(ct("state"), 2, "in") },
  "a list of one state": { state: match(ct("state"), ["established"], "in") },
  "a set of one state": { state: match(ct("state"), { set: ["established"] }) },
  "a number for a direction": { direction: match(ct("direction"), 1) },
  "names of protocols": { protocol: match(meta("l4proto"), { set: ["ipv6-icmp", "icmp"] }) },
  "another name of a protocol": { protocol: match(meta("l4proto"), { set: ["icmp", "icmpv6"] }) },
  "numbers of ICMPv6 types": { neighbour: match(payload("icmpv6", "type"), { set: [132, 136] }) },
  "another name of an ICMPv6 type": {
    neighbour: match(payload("icmpv6", "type"), { set: ["mld-listener-reduction", "nd-neighbor-advert"] }),
  },
  "a number of an ICMP type": { ping: match(payload("icmp", "type"), 8) },
  "a number of a family": { nfproto: match(meta("nfproto"), 10) },
  "numbers of packet types": { cast: match(meta("pkttype"), { set: [2, 1] }) },
  "a set of one interface": { link: match(meta("iifname"), { set: ["eth0"] }) },
  "a set that is one interface": { link: match(meta("iifname"), { set: "eth0" }) },
  "a prefix as a range": {
    from: match(payload("ip", "saddr"), { set: ["192.0.2.1", { range: ["10.0.0.0", "10.0.0.255"] }] }),
  },
  "a prefix as its halves": {
    from: match(payload("ip", "saddr"), {
      set: ["192.0.2.1", { prefix: { addr: "10.0.0.128", len: 25 } }, { prefix: { addr: "10.0.0.0", len: 25 } }],
    }),
  },
  "addresses as element objects": {
    from: match(payload("ip", "saddr"), { set: [elem("192.0.2.1"), elem({ prefix: { addr: "10.0.0.0", len: 24 } })] }),
  },
  "another spelling of an IPv6 address": { from6: match(payload("ip6", "saddr"), "2001:0db8:0:0::7") },
  "a range as its ports": { ports: match(payload("tcp", "dport"), { set: [82, 22, 81, 80] }) },
  "ports as text": { ports: match(payload("tcp", "dport"), { set: ["22", { range: ["80", "82"] }] }) },
  "ranges that overlap": { ports: match(payload("tcp", "dport"), { set: [{ range: [80, 81] }, { range: [81, 82] }, 22, 22] }) },
  "a range of one port": { port: match(payload("udp", "dport"), { range: [1900, 1900] }) },
  "a set of one port": { port: match(payload("udp", "dport"), { set: [1900] }) },
  "an element object that is noted": { note: { set: { op: "update", elem: elem(ASKER), set: "@askers4" } } },
  "a counter before the verdict": { verdict: [{ counter: { packets: 3, bytes: 180 } }, { accept: null }] },
  "a counter without values": { verdict: [{ counter: null }, { accept: null }] },
  "a number for a rejection": { reject: { reject: { type: "icmpx", expr: 3 } } },
};

const OTHER: Readonly<Record<string, Change>> = {
  "a table that sleeps": { table: { flags: "dormant" } },
  "a table that sleeps, as nft 1.0 lists it": { table: { flags: "sallyport" } },
  "a table that somebody owns": { table: { flags: ["owner"] } },
  "a table of another family": { table: { family: "ip" } },
  "a chain of another table": { chain: { table: "other" } },
  "a rule of another family": { rule: { family: "ip6" } },
  "an accepting chain": { chain: { policy: "accept" } },
  "a later chain": { chain: { prio: "filter + 1" } },
  "a chain of another hook": { chain: { hook: "prerouting" } },
  "a chain of another type": { chain: { type: "nat" } },
  "an element more": { fixed: { elem: ["198.18.7.3", "198.18.7.4"] } },
  "no element": { fixed: { elem: [] } },
  "an element that ends": { fixed: { elem: [elem("198.18.7.3", { expires: 9 })] } },
  "an element with a timeout": { fixed: { elem: [elem("198.18.7.3", { timeout: 9 })] } },
  "a wider prefix": { fixed: { elem: { prefix: { addr: "198.18.7.0", len: 24 } } } },
  "a set whose elements end": { fixed: { timeout: 9 } },
  "a set that a rule fills": { fixed: { flags: ["interval", "dynamic"] } },
  "a set that limits": { fixed: { stmt: [{ limit: { rate: 1, per: "day" } }] } },
  "a set of another type": { fixed: { type: "ipv6_addr" } },
  "a constant set": { fixed: { flags: ["constant", "interval"] } },
  "an asker that stays": { filling: { elem: [{ concat: ["198.18.7.1", 5, 1900] }] } },
  "an asker with a timeout of its own": {
    filling: { elem: [elem({ concat: ["198.18.7.1", 5, 1900] }, { timeout: 60, expires: 9 })] },
  },
  "an asker that stays too long": { filling: { elem: [elem({ concat: ["198.18.7.1", 5, 1900] }, { expires: 11 })] } },
  "room for more askers": { filling: { size: 65_535 } },
  "no bound for askers": { filling: { size: undefined } },
  "askers for an hour": { filling: { timeout: 3600 } },
  "askers for ever": { filling: { flags: ["dynamic"], timeout: undefined } },
  "askers without the port that was asked": { filling: { type: ["ipv4_addr", "inet_service"] } },
  "one state more": { state: match(ct("state"), ["established", "new"], "in") },
  "a set of two states": { state: match(ct("state"), { set: ["established", "new"] }) },
  "another state": { state: match(ct("state"), 8, "in") },
  "not that state": { state: match(ct("state"), "established", "!=") },
  "the other direction": { direction: match(ct("direction"), 0) },
  "a connection's other key": { direction: match({ ct: { key: "direction", dir: "original" } }, "reply") },
  "a protocol more": { protocol: match(meta("l4proto"), { set: [1, 58, 17] }) },
  "another protocol": { protocol: match(meta("l4proto"), { set: ["icmp", "udp"] }) },
  "an ICMPv6 type more": { neighbour: match(payload("icmpv6", "type"), { set: [132, 136, 137] }) },
  "another ICMP type": { ping: match(payload("icmp", "type"), 13) },
  "ICMPv6's number for ICMP": { ping: match(payload("icmp", "type"), 128) },
  "another family": { nfproto: match(meta("nfproto"), 2) },
  "packets for this machine too": { cast: match(meta("pkttype"), { set: [0, 1, 2] }) },
  "a pattern of interfaces": { link: match(meta("iifname"), "eth*") },
  "any interface": { link: undefined },
  "an interface by its number": { link: match(meta("iif"), "eth0") },
  "a neighbour of an address": {
    from: match(payload("ip", "saddr"), { set: ["192.0.2.1", { range: ["10.0.0.0", "10.0.1.0"] }] }),
  },
  "an address less": { from: match(payload("ip", "saddr"), { prefix: { addr: "10.0.0.0", len: 24 } }) },
  "destinations for senders": { from6: match(payload("ip6", "daddr"), "2001:db8::7") },
  "a port less": { ports: match(payload("tcp", "dport"), { set: [22, { range: [81, 82] }] }) },
  "ports of the sender": { ports: match(payload("tcp", "sport"), { set: [22, { range: [80, 82] }] }) },
  "a list that no flag field has": { port: match(payload("udp", "dport"), [1900, 1901]) },
  "a masked port": { port: match({ "&": [payload("udp", "dport"), 65_532] }, 1900) },
  "an asker by another field": { note: { set: { op: "update", elem: payload("ip", "saddr"), set: "@askers4" } } },
  "an asker with a timeout that a rule gives": {
    note: { set: { op: "update", elem: elem(ASKER, { timeout: 60 }), set: "@askers4" } },
  },
  "askers that are taken out": { note: { set: { op: "delete", elem: ASKER, set: "@askers4" } } },
  "askers of another set": { note: { set: { op: "update", elem: ASKER, set: "@management4" } } },
  "a note with statements": { note: { set: { op: "update", elem: ASKER, set: "@askers4", stmt: [{ limit: { rate: 1 } }] } } },
  "another verdict": { verdict: { drop: null } },
  "two verdicts in one object": { verdict: { accept: null, drop: null } },
  "a verdict under a limit": { verdict: [{ limit: { rate: 1, per: "day" } }, { accept: null }] },
  "a jump": { verdict: { jump: { target: "input" } } },
  "another rejection": { reject: { reject: { type: "icmpx", expr: 0 } } },
  "the default rejection": { reject: { reject: null } },
  "a rule more": { more: [{ rule: { ...ours, chain: "input", handle: 70, expr: [{ accept: null }] } }] },
  "a set more": { more: [{ set: { ...FIXED, name: "more" } }] },
  "a chain more": { more: [{ chain: { ...CHAIN, name: "more" } }] },
  "a map": { more: [{ map: { ...FIXED, name: "more", map: "verdict" } }] },
  "a flow table": { more: [{ flowtable: { ...ours, name: "f", hook: "ingress", prio: 0, dev: "eth0" } }] },
};

for (const [what, change] of Object.entries(SAME))
  test(`[LCK-60] the same table: ${what}`, async (t) => t.equal(textOf(change), WANTED));
for (const [what, change] of Object.entries(OTHER))
  test(`[LCK-61] another table: ${what}`, async (t) => t.not(textOf(change), WANTED));

test("[LCK-60] sets of places by what they contain, and of nothing else", async (t) => {
  for (const [elements, merged] of [
    [["0.0.0.0/1", "128.0.0.0/1"], ["0.0.0.0/0"]],
    [["10.0.0.0/8", "11.0.0.0/8", "12.0.0.0/8"], ["10.0.0.0-12.255.255.255"]],
    [["2001:db8::1", "2001:db8::2/127"], ["2001:db8::1-2001:db8::3"]],
    [["::/1", "8000::/1"], ["::/0"]],
    [["::ffff:198.51.100.7"], ["::ffff:198.51.100.7"]], // no plan has one
    [
      ["80", "81", "443"],
      ["443", "80-81"],
    ],
    [["1-65535", "7"], ["1-65535"]],
    [
      ["0.0.0.0", "::", "0"],
      ["0", "0.0.0.0", "::"],
    ],
    [
      ["10-5", "300.1.1.1", "fe80::1%eth0", "10.0.0.0/33", "eth0-1", "1/2"],
      ["1/2", "10-5", "10.0.0.0/33", "300.1.1.1", "eth0-1", "fe80::1%eth0"],
    ],
  ] as const)
    t.same(mergeIntervals(elements), merged);
});

/** Neighbours, which nft joins in some places and not in others. */
const NEIGHBOURS = {
  management: ["10.0.0.0/25", "10.0.0.128/25", "10.0.1.0/24", "2001:db8::/33", "2001:db8:8000::/33"],
  inbound: [
    { link: "eth0", protocol: "tcp", ports: [80, 81, "82-90", 443], from: "management" },
    { link: "eth0", protocol: "udp", ports: [1900], from: "management" },
    { link: "eth0", protocol: "udp", ports: [5353, 5354], from: "any" },
  ],
  outbound: [
    { protocol: "tcp", ports: [502], to: ["192.0.2.0/25", "192.0.2.128/25"] },
    { protocol: "tcp", ports: [503], to: ["0.0.0.0/1", "128.0.0.0/1"] },
    { protocol: "tcp", ports: [504], to: ["10.0.0.0/8", "11.0.0.0/8", "12.0.0.0/8", "192.0.2.1"] },
    { protocol: "udp", ports: [505], to: ["2001:db8::1", "2001:db8::2", "2001:db8::3"] },
  ],
};

for (const build of ["of this machine", "of Debian 13"] as const)
  test(
    `[LCK-60] nft ${build} reads a table with neighbours as it was planned`,
    { skip: lacksProbeNetwork("netns") || (build === "of Debian 13" && needs("nft-debian13")) },
    async (t) => {
      const network = await openEmptyNetwork("netns");
      t.teardown(() => network.stop());
      const [program, ...words] = network.nft;
      const nft = build === "of Debian 13" ? await nftBuild(t, build) : "nft";
      const firewall = linuxFirewall({ command: [program, ...words.slice(0, -1), nft] });
      const links = [{ name: "eth0", dhcp4: true, dhcp6: true, ipv6: true }];
      const table = planLockdown(labPolicy({ links, network: NEIGHBOURS }), labSnapshot()).firewall;
      t.equal(await firewall.replace(table), table);
    },
  );
