// The machine that must stay reachable, from the files of a kernel to the risks of a policy.
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Test, test } from "tap";
import { linuxNetwork } from "../../../hal/linux/network/index.ts";
import type { MachineFacts } from "../../../warden/lockdown/index.ts";
import { planLockdown, risksOf } from "../../../warden/lockdown/plan/index.ts";
import { readProtected } from "../../../warden/lockdown/protected.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";
import { labPolicy, NO_USB } from "../../lab/worlds/lockdown.ts";

const HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";
const LAN = `${HEAD}eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n`;
const WAN = `${LAN}eth1\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n`;
const FIB = "Id 7:\n  |-- 0.0.0.0\n     /0 universe UNICAST\nMain:\n  |-- 192.168.1.0\n     /24 link UNICAST\n";
const ETHERNET = { "sys/class/net/eth0/type": "1\n", "sys/class/net/eth1/type": "1\n" };

interface Machine {
  readonly files: Readonly<Record<string, string>>;
  readonly ip?: string;
  readonly hub?: string;
}

async function factsOf(t: Test, { files, ip, hub }: Machine): Promise<MachineFacts> {
  const root = await temporaryDirectory(t);
  const program = join(root, "bin/ip");
  for (const [path, text] of Object.entries({ ...files, "bin/ip": `#!/bin/sh\n${ip ?? ""}\n` })) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  chmodSync(program, 0o755);
  const network = linuxNetwork(ip === undefined ? { root } : { root, ip: program });
  const hubEndpoints = [{ address: hub, port: 8883 }];
  return { ...(await readProtected({ network, console: undefined, hubEndpoints })), usb: NO_USB };
}

const risks = (facts: MachineFacts, ...names: readonly string[]): string => {
  const links = names.map((name) => ({ name, dhcp4: true, dhcp6: true }));
  return risksOf(planLockdown(labPolicy({ links, serial: {} }), facts), facts).join("\n");
};

const HIDDEN: Readonly<Record<string, Machine>> = {
  "the files show no default route": { files: { "proc/net/route": LAN } },
  "and the machine's links are listed": { files: { "proc/net/route": LAN, ...ETHERNET } },
  "and the hub has an address": { files: { "proc/net/route": LAN, ...ETHERNET }, hub: "203.0.113.9" },
  "the kernel lists the default route of another table": {
    files: { "proc/net/route": LAN, ...ETHERNET },
    ip: `echo '[{"dst":"default","dev":"eth0","table":"1"}]'; echo '[{"priority":2001,"fwmark":"0x100","table":"1"}]'`,
  },
  "the main table leads by eth1, and marked packets by eth0": {
    files: { "proc/net/route": WAN, ...ETHERNET },
    ip: `echo '[{"dst":"default","dev":"eth0","table":"1"},{"dst":"203.0.113.1","dev":"eth1"}]'; echo '[{"priority":2001,"fwmark":"0x100","table":"1"}]'`,
  },
};

for (const [what, machine] of Object.entries(HIDDEN))
  test(`[LCK-41] a policy that names another link than the one that may lead to the hub is a risk: ${what}`, async (t) => {
    const facts = await factsOf(t, machine);
    t.match(risks(facts, "eth1"), /"eth0" leads to the hub could not be told/u);
    t.equal(risks(facts, "eth0", "eth1"), "");
  });

const DETOURS: Readonly<Record<string, Machine>> = {
  "a backup in the files, and by mark the first": {
    files: { "proc/net/route": `${WAN}eth0\t00000000\t0101A8C0\t0003\t0\t0\t9\t00000000\t0\t0\t0\n`, ...ETHERNET },
    ip: `echo '[{"dst":"default","dev":"eth0","table":"1"},{"dst":"203.0.113.1","dev":"eth1"}]'; echo '[{"priority":2001,"fwmark":"0x100","table":"1"}]'`,
  },
  "one of two next hops": {
    files: { "proc/net/route": WAN, ...ETHERNET },
    ip: `echo '[{"dst":"default","table":"main","nexthops":[{"dev":"eth0"},{"dev":"eth1"}]},{"dst":"203.0.113.1","dev":"eth1"}]'`,
  },
  "another table, and no ip that could tell which link it names": {
    files: { "proc/net/route": WAN, ...ETHERNET, "proc/net/fib_trie": FIB },
  },
};

for (const [what, machine] of Object.entries(DETOURS))
  test(`[LCK-41] packets may leave by a link beside the way: ${what}`, async (t) => {
    t.match(
      risks(await factsOf(t, machine), "eth1"),
      /"eth0" leads to the hub could not be told: (?:by a rule|another routing table)/u,
    );
    t.equal(risks(await factsOf(t, machine), "eth0", "eth1"), "");
  });

test("[LCK-41] connections to the hub's ports by several links: which is the hub's is not known, so each must stay", async (t) => {
  const line = (remote: string): string => `  0: 0700000A:C000 ${remote} 01 0:0\n`;
  const files = { "proc/net/route": WAN, ...ETHERNET, "proc/self/net/tcp": line("0A7100CB:22B3") + line("0B7100CB:22B3") };
  const ip = (second: string): string => `echo '[{"dst":"203.0.113.10","dev":"eth0"},{"dst":"203.0.113.11","dev":"${second}"}]'`;
  const facts = await factsOf(t, { files, ip: ip("eth1") });
  t.same(facts.leads, ["eth0", "eth1"]);
  for (const [kept, cut] of [
    ["eth0", "eth1"],
    ["eth1", "eth0"],
  ] as const)
    t.match(risks(facts, kept), `"${cut}" leads to the hub could not be told: connections to its ports leave there`);
  t.equal(risks(facts, "eth0", "eth1"), "");
  t.equal(risks(await factsOf(t, { files, ip: ip("eth0") }), "eth0"), "", "both by one link");
});

test("[LCK-41] each address of the hub has a way of its own, by the kernel's word or the files", async (t) => {
  const files = { "proc/net/route": WAN, ...ETHERNET };
  const places = async (machine: Machine): Promise<unknown> => (await factsOf(t, machine)).places;
  t.same(await places({ files, hub: "192.168.1.7" }), [{ address: "192.168.1.7", links: ["eth0"] }]);
  const ip = `echo '[{"dst":"2001:db8::7","dev":"eth0"}]'`;
  t.same(await places({ files, ip, hub: "2001:DB8::7" }), [{ address: "2001:DB8::7", links: ["eth0"] }]);
  t.same(await places({ files }), [], "a name has none");
});

test("[LCK-43] a tunnel that does not tell by what it leaves may leave by any link that leads to the Internet", async (t) => {
  const tunnel = { "sys/class/net/tun0/type": "65534\n", "sys/class/net/tun0/tun_flags": "0x1\n" };
  const hub = "10.99.0.1";
  const route = `${WAN}tun0\t0000630A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n`;
  const uplinks = async (text: string): Promise<readonly string[]> =>
    (await factsOf(t, { files: { "proc/net/route": text, ...ETHERNET, ...tunnel }, hub })).links.map(({ uplink }) => uplink);
  t.same(await uplinks(route), ["unused", "unknown", "used"]);
  const onlyIt = route.replace("eth1\t00000000", "tun0\t00000000");
  t.same(await uplinks(onlyIt), ["unknown", "unused", "used"], "all but its own packets goes through it");
  t.same(await uplinks(WAN), ["unused", "used", "unused"], "a tunnel that nothing goes through");
});

test("[LCK-42] a name server on another link than the hub's must stay reachable there, and may be named there alone", async (t) => {
  const machine = { files: { "proc/net/route": WAN, ...ETHERNET, "etc/resolv.conf": "nameserver 192.168.1.1\n" } };
  const facts = await factsOf(t, machine);
  const asked = (names: readonly string[], link?: string): string => {
    const outbound = [{ protocol: "udp", ports: [53], to: "any", ...(link === undefined ? {} : { link }) }];
    const links = names.map((name) => ({ name, dhcp4: true, dhcp6: true }));
    return risksOf(planLockdown(labPolicy({ links, serial: {}, network: { outbound } }), facts), facts).join("\n");
  };
  t.match(asked(["eth1"]), /name cannot be looked up: .* 192\.168\.1\.1, and "links" lacks eth0/u);
  t.equal(asked(["eth0", "eth1"]), "");
  t.equal(asked(["eth0", "eth1"], "eth0"), "");
  t.match(asked(["eth0", "eth1"], "eth1"), /name cannot be looked up/u);
});

test("[LCK-31] a policy without IPv6 is a risk where a hub that has a name is reached by IPv6 only", async (t) => {
  const global = `${"0".repeat(32)} 00 ${"0".repeat(32)} 00 fe80${"0".repeat(27)}1 00000100 00000001 00000000 00000003 eth0\n`;
  const six = await factsOf(t, { files: { ...ETHERNET, "proc/net/ipv6_route": global } });
  t.equal(risks(six, "eth0"), 'the hub is reached by IPv6 only: "ipv6" is not set of eth0');
  const links = [{ name: "eth0", dhcp6: true, ipv6: true }];
  t.same(risksOf(planLockdown(labPolicy({ links, serial: {} }), six), six), []);
  const both = await factsOf(t, { files: { ...ETHERNET, "proc/net/ipv6_route": global, "proc/net/route": WAN } });
  t.equal(risks(both, "eth0", "eth1"), "");
});

test("[LCK-41] an ip that fails changes nothing of what the files show", async (t) => {
  const facts = await factsOf(t, { files: { "proc/net/route": WAN, ...ETHERNET }, ip: "exit 1", hub: "203.0.113.9" });
  t.same([facts.leads, facts.mayLead], [[], []]);
  t.match(risks(facts, "eth0"), /none of the interfaces that lead to the hub is in "links": eth1/u);
  t.equal(risks(facts, "eth1"), "");
});

test("[LCK-44] DHCP of a family that the link does not carry does not matter; before the first route either may", async (t) => {
  const dhcp = async (files: Machine["files"]): Promise<readonly string[]> =>
    (await factsOf(t, { files: { ...ETHERNET, ...files } })).links.flatMap(({ dhcp4, dhcp6 }) => [dhcp4, dhcp6]).slice(0, 2);
  const local = `fe80000000000000${"0".repeat(16)} 40 ${"0".repeat(32)} 00 ${"0".repeat(32)} 00000100 00000001 00000000 00000001 eth0\n`;
  const global = `${"0".repeat(32)} 00 ${"0".repeat(32)} 00 ${local.slice(0, 32)} 00000100 00000001 00000000 00000003 eth0\n`;
  t.same(await dhcp({ "proc/net/route": LAN, "proc/net/ipv6_route": local }), ["unknown", "unused"]);
  t.same(await dhcp({ "proc/net/ipv6_route": local + global }), ["unused", "unknown"]);
  t.same(await dhcp({ "proc/net/ipv6_route": local }), ["unknown", "unknown"]);
});
