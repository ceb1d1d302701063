// The plan against the policy, for any policy and any packet. The table's text is read here by a
// second reader, and addresses are judged by Node's BlockList.
import { BlockList } from "node:net";
import * as fc from "fast-check";
import { test } from "tap";
import * as v from "valibot";
import { parsePolicy, PLAN_BYTES_MAX, type Policy, planHash, planSchema } from "../../../../warden/lockdown/format/index.ts";
import { passes, planLockdown } from "../../../../warden/lockdown/plan/index.ts";
import { CONFIRM_KEY, labPolicy, labSnapshot } from "../../../lab/worlds/lockdown.ts";

interface Packet {
  readonly direction: "in" | "out";
  readonly link: string;
  readonly protocol: "tcp" | "udp";
  readonly address: string;
  readonly port: number;
  readonly sourcePort: number;
}

const LINKS = ["eth0", "eth1", "wwan0"];
const ADDRESSES = [
  "198.51.100.1",
  "198.51.100.7",
  "198.51.101.1",
  "10.0.0.1",
  "2001:db8::1",
  "2001:db8::7",
  "2001:db8:1::1",
  "fe80::1",
];
const PREFIXES = [
  ...ADDRESSES,
  "198.51.100.0/24",
  "198.51.100.0/30",
  "10.0.0.0/8",
  "2001:db8::/32",
  "2001:db8::/48",
  "128.0.0.0/1",
];
const PORTS = [1, 22, 53, 67, 68, 80, 81, 83, 546, 547, 8080, 8443, 8883, 65_535];

const link = fc.constantFrom(...LINKS);
const protocol = fc.constantFrom("tcp", "udp");
const ports = fc.array(fc.oneof(fc.constantFrom(...PORTS), fc.constantFrom("22-81", "80-8080", "1-65535", "8000-8999")), {
  minLength: 1,
  maxLength: 3,
});
const sourcePort = fc.constantFrom(67, 547, 50_000);
const prefixes = fc.array(fc.constantFrom(...PREFIXES), { minLength: 1, maxLength: 4 });
const policyDocument = fc.record({
  v: fc.constant(1),
  mode: fc.constantFrom("enforce", "enforce", "enforce", "shut"),
  links: fc.uniqueArray(fc.record({ name: link, dhcp4: fc.boolean(), dhcp6: fc.boolean(), ipv6: fc.boolean() }), {
    selector: ({ name }) => name,
  }),
  network: fc.record({
    management: fc.oneof(fc.constant([]), prefixes),
    inbound: fc.array(
      fc.record(
        { link, protocol, ports, from: fc.constantFrom("any", "management"), sourcePort },
        { requiredKeys: ["link", "protocol", "ports", "from"] },
      ),
      { maxLength: 4 },
    ),
    outbound: fc.array(
      fc.oneof(
        fc.record({ protocol, ports, to: fc.oneof(fc.constant("any"), prefixes) }),
        fc.record({ protocol, ports, to: fc.oneof(fc.constant("any"), prefixes), link, sourcePort }),
      ),
      { maxLength: 4 },
    ),
    echo: fc.constantFrom("none", "management", "any"),
  }),
  confirmKeys: fc.constant([CONFIRM_KEY]),
});
const packet: fc.Arbitrary<Packet> = fc.record({
  direction: fc.constantFrom("in", "out"),
  link: fc.constantFrom(...LINKS, "eth9"),
  protocol: fc.constantFrom("tcp", "udp"),
  address: fc.constantFrom(...ADDRESSES),
  port: fc.constantFrom(...PORTS, 82, 4711),
  sourcePort,
});
const HUB = [
  { address: undefined, port: 8443 },
  { address: "198.51.100.7", port: 8883 },
];
const FACTS = labSnapshot({ hub: HUB, nameServers: ["10.0.0.1", "2001:db8::7"] });

const parsed = (document: unknown): Policy => parsePolicy(Buffer.from(JSON.stringify(document)));
const family = (address: string): "ipv4" | "ipv6" => (address.includes(":") ? "ipv6" : "ipv4");

function within(list: readonly string[], address: string): boolean {
  const block = new BlockList();
  for (const prefix of list) {
    const [base = "", length] = prefix.split("/");
    const [first = "", last] = prefix.split("-");
    if (last !== undefined) block.addRange(first, last, family(first));
    else if (length === undefined) block.addAddress(base, family(base));
    else block.addSubnet(base, Number(length), family(base));
  }
  return block.check(address, family(address));
}

/** The policy's verdict on a packet. */
function mayPass(policy: Policy, packet: Packet): boolean {
  const { direction, protocol, port, sourcePort, address } = packet;
  const link = policy.links.find(({ name }) => name === packet.link);
  if (link === undefined || (address.includes(":") && !link.ipv6)) return false;
  const shut = policy.mode === "shut";
  const named = (list: Policy["network"]["inbound"][number]["ports"]): boolean =>
    list.some((one) => {
      const [from = 0, to = from] = String(one).split("-").map(Number);
      return from <= port && port <= to;
    });
  if (direction === "in") {
    if (link.dhcp4 && protocol === "udp" && port === 68) return true;
    if (link.dhcp6 && protocol === "udp" && port === 546 && within(["fe80::/10"], address)) return true;
    return (
      !shut &&
      policy.network.inbound.some(
        (one) =>
          one.link === link.name &&
          one.protocol === protocol &&
          named(one.ports) &&
          (one.sourcePort ?? sourcePort) === sourcePort &&
          (one.from === "any" || within(policy.network.management, address)),
      )
    );
  }
  if (protocol === "tcp" && HUB.some((hub) => hub.port === port && (hub.address === undefined || hub.address === address)))
    return true;
  if (protocol === "udp" && ((link.dhcp4 && port === 67) || (link.dhcp6 && port === 547))) return true;
  if (shut) return port === 53 && FACTS.nameServers.includes(address);
  return policy.network.outbound.some(
    (one) =>
      (one.link ?? link.name) === link.name &&
      // a long answer is asked for by TCP, at the same server
      (one.protocol === protocol || (one.protocol === "udp" && protocol === "tcp" && port === 53)) &&
      named(one.ports) &&
      (one.sourcePort ?? sourcePort) === sourcePort &&
      (one.to === "any" || within(one.to, address)),
  );
}

/**
 * The table's verdict on the first packet of a connection: nft's meaning of the text, read word by
 * word.
 */
function verdictOf(table: string, packet: Packet): boolean {
  const sets = new Map(
    [...table.matchAll(/set (\w+) \{[^}]*elements = \{ ([^}]*) \}/gu)].map(([, name = "", list = ""]) => [
      `@${name}`,
      list.split(", "),
    ]),
  );
  const body =
    new RegExp(`chain ${packet.direction}put \\{\\n([^}]*(?:\\{[^}]*\\}[^}]*)*?)\\n\\t\\}`, "u").exec(table)?.[1] ?? "";
  for (const line of body.split("\n").slice(1)) {
    // a rule that notes an asker decides nothing, and before a first packet nobody has asked
    if (/ (?:update )?@askers[46] /u.test(line)) continue;
    const verdict = /(?:accept|drop|reject with .*)$/u.exec(line)?.[0] ?? "";
    const words = line.slice(0, line.length - verdict.length).trim();
    if (matchesAll(words, sets, packet)) return verdict === "accept";
  }
  return false; // policy drop
}

function matchesAll(words: string, sets: ReadonlyMap<string, readonly string[]>, packet: Packet): boolean {
  const terms = [
    ...words.matchAll(/(iifname|oifname|meta \w+|ct \w+|ip6? \w+|icmp(?:v6)? \w+|tcp \w+|udp \w+) (!= )?(\{ [^}]* \}|\S+)/gu),
  ];
  if (terms.map(([term]) => term).join(" ") !== words) throw new RangeError(`not understood: ${words}`);
  return terms.every(([, left = "", not, right = ""]) => {
    const list = right.startsWith("@") ? (sets.get(right) ?? []) : right.replace(/^\{ | \}$/gu, "").split(", ");
    return holds(left, list, packet) !== (not !== undefined);
  });
}

function holds(left: string, list: readonly string[], packet: Packet): boolean {
  const [word, field = ""] = left.split(" ");
  const inRange = (value: number): boolean =>
    list.some((one) => {
      const [from = 0, to = from] = one.split("-").map(Number);
      return from <= value && value <= to;
    });
  if (left === "iifname" || left === "oifname") return list.includes(`"${packet.link}"`);
  if (left === "meta nfproto") return list.includes(family(packet.address));
  if (left === "meta l4proto") return list.includes(packet.protocol === "tcp" ? "6" : "17");
  // neither an answer nor ICMP
  if (word === "ct" || word === "icmp" || word === "icmpv6" || left === "ip6 hoplimit" || left === "ip ttl") return false;
  // the device's own address is no link-local one here
  if ((word === "ip" || word === "ip6") && (packet.direction === "in") !== (field === "saddr")) return false;
  if (word === "ip" || word === "ip6")
    return family(packet.address) === (word === "ip" ? "ipv4" : "ipv6") && within(list, packet.address);
  return word === packet.protocol && inRange(field === "dport" ? packet.port : packet.sourcePort);
}

test("[LCK-2] for any policy and packet the table passes exactly what the policy names", async (t) => {
  fc.assert(
    fc.property(policyDocument, fc.array(packet, { minLength: 20, maxLength: 20 }), (document, packets) => {
      const policy = parsed(document);
      const plan = planLockdown(policy, FACTS);
      for (const one of packets) {
        t.equal(verdictOf(plan.firewall, one), mayPass(policy, one), JSON.stringify({ document, one }));
        t.equal(passes(plan, one), mayPass(policy, one), JSON.stringify({ document, one }));
      }
    }),
    { numRuns: 150 },
  );
});

test("[LCK-4] the order in which a policy and a machine list things changes nothing, the hash included", async (t) => {
  const shuffled = <T>(list: readonly T[], seed: number): T[] =>
    list
      .map((item, i) => ({ item, key: Math.sin(seed * 99 + i) }))
      .sort((a, b) => a.key - b.key)
      .map(({ item }) => item);
  fc.assert(
    fc.property(policyDocument, fc.integer({ min: 1, max: 1e6 }), (document, seed) => {
      const { inbound, outbound, management } = document.network;
      const other = {
        ...document,
        links: shuffled(document.links, seed),
        network: {
          ...document.network,
          management: shuffled([...management, ...management], seed),
          inbound: shuffled([...inbound, ...inbound], seed).map((one) => ({ ...one, ports: shuffled(one.ports, seed) })),
          outbound: shuffled(outbound, seed).map((one) => (one.to === "any" ? one : { ...one, to: shuffled([...one.to], seed) })),
        },
      };
      const facts = {
        ...FACTS,
        hub: shuffled(FACTS.hub, seed),
        links: shuffled(FACTS.links, seed),
        nameServers: shuffled(FACTS.nameServers, seed),
      };
      return planHash(planLockdown(parsed(document), FACTS)) === planHash(planLockdown(parsed(other), facts));
    }),
    { numRuns: 150 },
  );
  t.not(planHash(planLockdown(labPolicy(), FACTS)), planHash(planLockdown(labPolicy({ confirmWithinS: 61 }), FACTS)));
  t.match(planHash(planLockdown(labPolicy(), FACTS)), /^sha256:[0-9a-f]{64}$/u);
});

test("[LCK-30] without a policy everything is shut: nothing in, nothing out except to the hub and its name servers, on every interface", async (t) => {
  const plan = planLockdown(undefined, FACTS);
  t.equal(plan.mode, "shut");
  t.same(plan.usb.allow, []);
  fc.assert(
    fc.property(packet, (one) => {
      const lost = labPolicy({
        mode: "shut",
        links: FACTS.links.map(({ name }) => ({ name, dhcp4: true, dhcp6: true, ipv6: true })),
      });
      return verdictOf(plan.firewall, one) === mayPass(lost, one);
    }),
    { numRuns: 500 },
  );
});

test("[LCK-4] a plan fits its schema and one line of the protocol", async (t) => {
  const network = {
    management: ["198.51.100.0/24"],
    inbound: Array.from({ length: 64 }, (_, i) => ({
      link: `link-number-${i % 16}`,
      protocol: "tcp",
      ports: [i + 1, "9000-9010"],
      from: "management",
    })),
    outbound: Array.from({ length: 64 }, (_, i) => ({
      protocol: "udp",
      ports: [i + 1],
      to: [`2001:db8:1111:2222:3333:4444:5555:${(i + 1).toString(16)}`],
    })),
  };
  const links = Array.from({ length: 16 }, (_, i) => ({ name: `link-number-${i}`, ipv6: true, dhcp4: true, dhcp6: true }));
  const plan = planLockdown(labPolicy({ links, network }), FACTS);
  t.ok(v.is(planSchema, plan));
  t.ok(Buffer.byteLength(JSON.stringify(plan)) <= PLAN_BYTES_MAX, `${Buffer.byteLength(JSON.stringify(plan))} bytes`);
});

test("[LCK-4] adjacent ranges are merged, and a port between two ranges is not opened with them", async (t) => {
  const ports = [443, "80-82", 84, "85-90", "88-95", 82, 97];
  const plan = planLockdown(labPolicy({ network: { inbound: [{ link: "eth0", protocol: "tcp", ports, from: "any" }] } }), FACTS);
  t.same(
    plan.networkRules.filter(({ why }) => why === "policy").map(({ ports }) => ports),
    [
      [
        [80, 82],
        [84, 95],
        [97, 97],
        [443, 443],
      ],
    ],
  );
});

test("[LCK-5] no table needs /etc/protocols, which a small image does not have: protocols are numbers", async (t) => {
  const property = fc.property(
    policyDocument,
    (document) => !/l4proto (?:\{ )?[a-z]/u.test(planLockdown(parsed(document), FACTS).firewall),
  );
  t.doesNotThrow(() => fc.assert(property));
});
