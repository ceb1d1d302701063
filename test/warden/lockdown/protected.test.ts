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
