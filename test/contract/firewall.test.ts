// The contract of Firewall.
import { spawnSync } from "node:child_process";
import { test } from "tap";
import { Fault } from "../../hal/fault.ts";
import { linuxFirewall } from "../../hal/linux/firewall/index.ts";
import type { Firewall } from "../../hal/ports.ts";
import { renderTable } from "../../warden/lockdown/plan/table.ts";
import { type NftBuild, nftBuild } from "../lab/counterparts/nft-builds.ts";
import { fakeFirewall, lacksProbeNetwork, openProbeNetwork } from "../lab/counterparts/network-probe.ts";
import type { TestContext } from "../lab/runner/context.ts";
import { needs } from "../lab/runner/needs.ts";

const SHUT = renderTable({ links: [], management: [], echo: "none", networkRules: [] });
const FULL = renderTable({
  links: [
    { name: "eth0", dhcp4: true, dhcp6: true, ipv6: true },
    { name: "wwan0", dhcp4: false, dhcp6: false, ipv6: false },
  ],
  management: ["198.18.7.0/24", "198.18.9.1", "2001:db8:0:1::/64"],
  echo: "management",
  networkRules: [
    {
      direction: "in",
      link: "eth0",
      protocol: "tcp",
      ports: [
        [22, 22],
        [9000, 9010],
      ],
      sourcePort: null,
      peers: "management",
      why: "policy",
    },
    { direction: "in", link: "eth0", protocol: "udp", ports: [[68, 68]], sourcePort: null, peers: null, why: "dhcp" },
    { direction: "in", link: "eth0", protocol: "udp", ports: [[546, 546]], sourcePort: 547, peers: ["fe80::/10"], why: "dhcp" },
    {
      direction: "in",
      link: "eth0",
      protocol: "udp",
      ports: [[546, 546]],
      sourcePort: null,
      peers: null,
      near: ["fe80::/10"],
      why: "dhcp",
    },
    {
      direction: "out",
      link: null,
      protocol: "tcp",
      ports: [[8443, 8443]],
      sourcePort: null,
      peers: ["198.51.100.7"],
      why: "hub",
    },
    {
      direction: "out",
      link: "wwan0",
      protocol: "udp",
      ports: [
        [53, 53],
        [123, 123],
      ],
      sourcePort: null,
      peers: ["192.0.2.0/24", "192.0.3.1", "2001:db8::1"],
      why: "policy",
    },
  ],
});

interface Subject {
  readonly firewall: Firewall;
  /** The table of another program, with its handles, which are new when it was made anew. */
  readonly others: () => string;
}

const subjects: Record<string, { readonly skip: string | false; open: (t: TestContext) => Promise<Subject> }> = {
  fakeFirewall: { skip: false, open: async () => ({ firewall: fakeFirewall(), others: () => "" }) },
  "nft as root": { skip: lacksProbeNetwork("netns"), open: (t) => real(t, "netns") },
  "nft without root": { skip: lacksProbeNetwork("user"), open: (t) => real(t, "user") },
  ...Object.fromEntries(
    (["without an interactive mode", "with readline", "of Debian 13"] as const).map((build) => [
      `nft ${build}`,
      {
        skip: lacksProbeNetwork("netns") || (build === "of Debian 13" && needs("nft-debian13")),
        open: (t: TestContext) => real(t, "netns", build),
      },
    ]),
  ),
};

async function real(t: TestContext, kind: "netns" | "user", build?: NftBuild): Promise<Subject> {
  const network = await openProbeNetwork(kind);
  t.teardown(() => network.stop());
  const { nft } = network;
  const [program, ...before] = nft;
  const run = (...args: readonly string[]): string => {
    const { status, stdout, stderr } = spawnSync(program, [...before, ...args], { encoding: "utf8" });
    if (status !== 0) throw new Fault("process.failed", stderr);
    return stdout;
  };
  run("add table inet other { set sallyport { type ipv4_addr; elements = { 192.0.2.1 }; }; chain input { accept; }; }");
  const command = build === undefined ? nft : ([program, ...before.slice(0, -1), await nftBuild(t, build)] as const);
  return { firewall: linuxFirewall({ command }), others: () => run("-a", "list", "table", "inet", "other") };
}

for (const [name, { skip, open }] of Object.entries(subjects))
  test(
    `[LCK-5] [LCK-25] ${name}: one table is replaced whole and read back in the same form, and a refused one changes nothing`,
    { skip },
    async (t) => {
      const { firewall, others } = await open(t);
      const before = others();
      t.equal(await firewall.read(), undefined, "none at first");
      const broken = FULL.replace("\t\tct state", "\t\tnonsense\n\t\tct state");
      await t.rejects(firewall.replace(broken), { code: "firewall.refused" });
      t.equal(await firewall.read(), undefined, "a refused table does not leave an empty one");
      for (const table of [FULL, SHUT, FULL, FULL]) {
        t.equal(await firewall.replace(table), table);
        t.equal(await firewall.read(), table, "nothing of the earlier table is left");
      }
      await t.rejects(firewall.replace(broken), { code: "firewall.refused" });
      t.equal(await firewall.read(), FULL, "a refused table changes nothing");
      await t.rejects(firewall.replace(`${SHUT}flush ruleset\n`), { code: "assert.broken" });
      await t.rejects(firewall.replace("table inet other {\n}\n"), { code: "assert.broken" });
      t.equal(others(), before, "nothing of another table is touched");
    },
  );
