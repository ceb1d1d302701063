// The contract of Firewall.
import { test } from "tap";
import { linuxFirewall } from "../../hal/linux/firewall/index.ts";
import type { Firewall } from "../../hal/ports.ts";
import { renderTable } from "../../warden/lockdown/plan/table.ts";
import { fakeFirewall, lacksProbeNetwork, openProbeNetwork } from "../lab/counterparts/network-probe.ts";

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
    { direction: "in", link: "eth0", protocol: "udp", ports: [[68, 68]], sourcePort: 67, peers: null, why: "dhcp" },
    { direction: "in", link: "eth0", protocol: "udp", ports: [[546, 546]], sourcePort: 547, peers: ["fe80::/10"], why: "dhcp" },
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

const subjects: Record<
  string,
  { readonly skip: string | false; open: () => Promise<{ firewall: Firewall; close: () => Promise<void> }> }
> = {
  fakeFirewall: { skip: false, open: async () => ({ firewall: fakeFirewall(), close: async () => undefined }) },
  "nft as root": { skip: lacksProbeNetwork("netns"), open: () => real("netns") },
  "nft without root": { skip: lacksProbeNetwork("user"), open: () => real("user") },
};

async function real(kind: "netns" | "user"): Promise<{ firewall: Firewall; close: () => Promise<void> }> {
  const doors = await openProbeNetwork(kind);
  return { firewall: linuxFirewall({ command: doors.nft }), close: () => doors.stop() };
}

for (const [name, { skip, open }] of Object.entries(subjects))
  test(
    `[LCK-5] ${name}: one table is checked without effect, replaced whole, and read back in the same form`,
    { skip },
    async (t) => {
      const { firewall, close } = await open();
      t.teardown(close);
      t.equal(await firewall.read(), undefined, "none at first");
      await firewall.check(FULL);
      t.equal(await firewall.read(), undefined, "a check changes nothing");
      await firewall.replace(FULL);
      t.equal(await firewall.read(), FULL);
      await firewall.replace(SHUT);
      t.equal(await firewall.read(), SHUT, "nothing of the earlier table is left");
      await firewall.replace(FULL);
      const broken = FULL.replace("\t\tct state", "\t\tnonsense\n\t\tct state");
      await t.rejects(firewall.check(broken), { code: "firewall.refused" });
      await t.rejects(firewall.replace(broken), { code: "firewall.refused" });
      t.equal(await firewall.read(), FULL, "a refused table changes nothing");
      await t.rejects(firewall.replace(`${SHUT}flush ruleset\n`), { code: "assert.broken" });
      await t.rejects(firewall.replace("table inet other {\n}\n"), { code: "assert.broken" });
    },
  );
