// What could not be told about the machine: open when the policy is shut, named when a policy would
// cut it, and in the status.
import { test } from "tap";
import type { NetworkTunnel } from "../../../../hal/ports.ts";
import type { MachineFacts } from "../../../../warden/lockdown/index.ts";
import { notKnownNow, passes, planLockdown, risksOf } from "../../../../warden/lockdown/plan/index.ts";
import { KEYBOARD } from "../../../lab/fakes/usb-tree.ts";
import { labPolicy, labSnapshot, NO_USB, seen } from "../../../lab/worlds/lockdown.ts";

type Change = Readonly<Record<string, unknown>>;
type Links = MachineFacts["links"];

const link = (name: string, change: Partial<Links[number]> = {}): Links[number] => ({
  name,
  uplink: "used",
  dhcp4: "unused",
  dhcp6: "unused",
  usb: undefined,
  below: [],
  ...change,
});
const DNS = { outbound: [{ protocol: "udp", ports: [53, 123], to: "any" }] };
const ADDRESSED = [{ address: "10.99.0.1", port: 8883 }];

const risks = (policy: Change, machine: Partial<MachineFacts>): string => {
  const facts = labSnapshot(machine);
  return risksOf(planLockdown(labPolicy(policy), facts), facts).join("\n");
};
/** What the mode shut opens beside the hub, as direction, what, whom and why. */
const opened = (
  machine: Partial<MachineFacts>,
  policy: Change = { links: [{ name: "eth0" }, { name: "wg0" }] },
): readonly string[] =>
  planLockdown(labPolicy({ mode: "shut", ...policy }), labSnapshot(machine))
    .networkRules.filter(({ why }) => why !== "hub")
    .map(({ direction, protocol, ports, peers, why }) =>
      [direction, protocol, ports.map(([from]) => from).join(" "), String(peers ?? "anybody"), why].join(" ").replace("  ", " "),
    );

const STUB = { nameServers: ["192.168.1.1"], nameService: "unknown", dnsOverTls: "unknown" } as const;

test("[LCK-42] name servers that could not be told: shut, name service is open to anybody, outbound; the status says so", async (t) => {
  const machine = { ...STUB, links: [link("eth0")] };
  const open = ["out tcp 53 853 anybody name-service-unknown", "out udp 53 anybody name-service-unknown"];
  t.same(opened(machine), open);
  const facts = labSnapshot(machine);
  t.same(opened({ ...machine, hub: ADDRESSED }), [], "a hub with an address needs no name");
  const base = planLockdown(undefined, facts);
  t.ok(passes(base, { direction: "out", link: "eth0", protocol: "udp", address: "192.168.1.1", port: 53, sourcePort: 50_000 }));
  t.notOk(passes(base, { direction: "in", link: "eth0", protocol: "udp", address: "192.168.1.1", port: 53, sourcePort: 53 }));
  t.match(notKnownNow(base, facts).join(), /name could not be told.*the way to it is open/u);
  t.same(notKnownNow(planLockdown(undefined, labSnapshot()), labSnapshot()), []);
});

test("[LCK-42] a policy without name service is a risk where the servers could not be told; one that names a server is not", async (t) => {
  const machine = { ...STUB, links: [link("eth0")] };
  t.match(risks({ network: {} }, machine), /could not be told.*would cut it.*"outbound", it may be 192\.168\.1\.1/u);
  t.match(risks({ network: { outbound: [{ protocol: "udp", ports: [53], to: ["192.0.2.9"] }] } }, machine), /could not be told/u);
  t.equal(risks({ network: DNS }, machine), "");
  t.equal(risks({ network: { outbound: [{ protocol: "udp", ports: [53], to: ["192.168.1.0/24"] }] } }, machine), "");
  const nothing = { ...machine, nameServers: [] };
  t.equal(risks({ network: { outbound: [{ protocol: "udp", ports: [53], to: ["192.0.2.9"] }] } }, nothing), "");
  t.equal(risks({ network: {} }, { ...machine, hub: ADDRESSED }), "");
});

test("[LCK-42] name service by TLS only: shut, its port is open; a policy without it is a risk", async (t) => {
  const machine = { nameServers: ["192.0.2.53"], dnsOverTls: "used", links: [link("eth0")] } as const;
  t.ok(opened(machine).includes("out tcp 53 853 192.0.2.53 name-service"));
  t.match(risks({ network: DNS }, machine), /by TLS only: "outbound" has no TCP port 853 to 192\.0\.2\.53/u);
  const tls = [...DNS.outbound, { protocol: "tcp", ports: [853], to: ["192.0.2.53"] }];
  t.equal(risks({ network: { outbound: tls } }, machine), "");
});

test("[LCK-45] a policy that opens UDP 53 opens TCP 53 to the same servers where the hub has a name, and nothing else", async (t) => {
  const names = (network: Change, machine: Partial<MachineFacts> = {}): readonly string[] =>
    planLockdown(labPolicy({ network }), labSnapshot(machine))
      .networkRules.filter(({ protocol, ports }) => protocol === "tcp" && ports.some(([from, to]) => from <= 53 && 53 <= to))
      .map(({ ports, peers, link: by, why }) => `${JSON.stringify(ports)} ${String(peers ?? "anybody")} ${by ?? "*"} ${why}`);
  t.same(names(DNS), ["[[53,53]] anybody * name-service"]);
  const server = { protocol: "udp", ports: ["50-60"], to: ["198.18.7.1"], link: "eth0" };
  t.same(names({ outbound: [server] }), ["[[53,53]] 198.18.7.1 eth0 name-service"]);
  t.same(names({ outbound: [server, { ...server, protocol: "tcp" }] }), ["[[50,60]] 198.18.7.1 eth0 policy"], "named already");
  t.same(names(DNS, { hub: ADDRESSED }), [], "a hub with an address");
  t.same(names({ outbound: [{ protocol: "udp", ports: [123], to: "any" }] }), [], "a policy without name service");
});

test("[LCK-44] a DHCP client that could not be told: shut, it may ask; a policy that does not name it is a risk", async (t) => {
  const machine = { hub: ADDRESSED, links: [link("eth0", { dhcp4: "unknown", dhcp6: "unknown" })] };
  const ipv6 = { links: [{ name: "eth0", ipv6: true }] };
  t.same(opened(machine, ipv6), ["in udp 546 fe80::/10 dhcp-unknown", "out udp 67 547 anybody dhcp-unknown"]);
  t.same(opened({ ...machine, links: [link("eth0", { uplink: "unused", dhcp4: "unknown", dhcp6: "unknown" })] }), []);
  t.same(opened(machine), ["out udp 67 anybody dhcp-unknown"], "a policy without IPv6");
  t.match(risks(ipv6, machine), /"eth0" has its address by DHCP could not be told.*set "dhcp4"/u);
  t.match(risks({ links: [{ name: "eth0", dhcp4: true, ipv6: true }] }, machine), /by DHCPv6 could not be told.*set "dhcp6"/u);
  t.equal(risks({ links: [{ name: "eth0", dhcp4: true, dhcp6: true, ipv6: true }] }, machine), "");
  t.equal(risks({ links: [{ name: "eth0", dhcp4: true }] }, machine), "", "a policy without IPv6");
  const facts = labSnapshot(machine);
  const shut = planLockdown(labPolicy({ mode: "shut", ...ipv6 }), facts);
  t.equal(notKnownNow(shut, facts).length, 2);
  t.same(notKnownNow(planLockdown(undefined, facts), facts), [], "without a policy DHCP is open as it is");
});

test("[LCK-31] DHCP that is in use and not in the policy is a risk, on IPv6 too", async (t) => {
  const machine = { hub: ADDRESSED, links: [link("eth0", { dhcp4: "used", dhcp6: "used" })] };
  t.match(risks({ links: [{ name: "eth0", dhcp4: true }] }, machine), /by DHCPv6, and "dhcp6" is not set/u);
  t.match(risks({ links: [{ name: "eth0", dhcp6: true }] }, machine), /by DHCP, and "dhcp4" is not set/u);
});

const OUTER: NetworkTunnel = { link: "eth0", protocol: "udp", peer: "198.18.77.1", port: 51_820 };
const behind = (below: readonly NetworkTunnel[], uplink: Links[number]["uplink"] = "used"): Partial<MachineFacts> => ({
  hub: ADDRESSED,
  leads: ["wg0"],
  links: [link("eth0", { uplink: "unused", dhcp4: "used" }), link("wg0", { uplink, below })],
});

test("[LCK-43] a hub behind a tunnel: shut, its outer packets leave to the far end; a policy that cuts them is a risk", async (t) => {
  t.same(opened(behind([OUTER])), ["out udp 51820 198.18.77.1 tunnel"]);
  t.same(opened(behind([{ ...OUTER, protocol: "gre", port: undefined }])), ["out gre 198.18.77.1 tunnel"]);
  t.same(opened(behind([OUTER], "unused")), [], "a tunnel that does not lead to the hub");
  const both = [{ name: "eth0", dhcp4: true }, { name: "wg0" }];
  const outbound = [{ protocol: "udp", ports: [51_820], to: ["198.18.77.1"] }];
  const words = /through the tunnel "wg0", and its own packets are cut.*UDP port 51820 to 198\.18\.77\.1 by "eth0"/u;
  t.match(risks({ links: [{ name: "wg0" }] }, behind([OUTER])), words);
  t.match(risks({ links: [{ name: "wg0" }], network: { outbound } }, behind([OUTER])), words, "but by no link");
  t.match(risks({ links: both, network: {} }, behind([OUTER])), words, "by a link, but not out");
  t.match(risks({ links: [{ name: "eth0", dhcp4: true }] }, behind([OUTER])), /lead to the hub is in "links": wg0/u);
  t.equal(risks({ links: both, network: { outbound } }, behind([OUTER])), "");
  t.equal(risks({ mode: "shut", links: both }, behind([OUTER])), "");
  t.same(notKnownNow(planLockdown(undefined, labSnapshot(behind([OUTER]))), labSnapshot(behind([OUTER]))), []);
});

test("[LCK-43] what carries the tunnel to the hub matters as the tunnel does: its lease, its USB device, a tunnel around it", async (t) => {
  const outbound = [{ protocol: "udp", ports: [51_820], to: ["198.18.77.1"] }];
  const both = { links: [{ name: "eth0" }, { name: "wg0" }], network: { outbound } };
  t.match(risks(both, behind([OUTER])), /"eth0" has its address by DHCP, and "dhcp4" is not set/u);
  t.equal(risks(both, behind([OUTER], "unused")), "", "a tunnel that does not lead to the hub");
  const untold = {
    ...behind([OUTER]),
    links: [link("eth0", { uplink: "unused", dhcp4: "unknown" }), link("wg0", { below: [OUTER] })],
  };
  t.match(risks(both, untold), /whether "eth0" has its address by DHCP could not be told/u);
  t.ok(opened(untold).includes("out udp 67 anybody dhcp-unknown"), "shut, its client may ask");
  const nested = {
    ...behind([]),
    links: [
      link("wg0", { below: [{ ...OUTER, link: "gre0" }] }),
      link("gre0", { uplink: "unused", below: [{ link: "eth0", protocol: "gre", peer: "198.18.99.1", port: undefined }] }),
      link("eth0", { uplink: "unused", usb: "1-3" }),
    ],
    usb: { ...NO_USB, devices: [seen("1-3", KEYBOARD, true)] },
  };
  t.same(opened(nested), ["out udp 51820 198.18.77.1 tunnel", "out gre 198.18.99.1 tunnel"]);
  t.match(
    risks({ ...both, links: [...both.links, { name: "gre0" }] }, nested),
    /tunnel "gre0", and its own packets are cut.*"eth0"/u,
  );
  t.match(risks(both, nested), /"eth0" is the USB device at "1-3", and "1-3" is refused/u);
});

test("[LCK-43] IPsec without an interface makes its link no tunnel: DHCP on it matters", async (t) => {
  const ipsec = { link: "eth0", protocol: "esp", peer: "198.18.77.1", port: undefined } as const;
  const machine = { hub: ADDRESSED, leads: ["eth0"], links: [link("eth0", { dhcp4: "unknown", below: [ipsec] })] };
  t.match(risks({ links: [{ name: "eth0" }] }, machine), /whether "eth0" has its address by DHCP could not be told/u);
  t.ok(opened(machine, { links: [{ name: "eth0" }] }).includes("out udp 67 anybody dhcp-unknown"));
});

test("[LCK-31] DHCP and the USB device of a link that may lead to the hub are as needed as those of one that does", async (t) => {
  const links = [link("eth0", { uplink: "unknown", dhcp4: "used", dhcp6: "used", usb: "1-3" })];
  const usb = { ...NO_USB, devices: [seen("1-3", KEYBOARD, true)] };
  const text = risks({ links: [{ name: "eth0" }] }, { hub: ADDRESSED, mayLead: ["eth0"], links, usb });
  for (const words of [/"dhcp4" is not set/u, /"dhcp6" is not set/u, /"1-3" is refused/u]) t.match(text, words);
});

test("[LCK-41] each place of the hub's services needs a link that leads there", async (t) => {
  const places = [
    { address: "10.99.0.1", links: ["eth0"] },
    { address: "203.0.113.9", links: ["eth1"] },
    { address: "203.0.113.10", links: [] },
  ];
  const machine = { hub: ADDRESSED, leads: ["eth0", "eth1"], places, links: [link("eth0"), link("eth1")] };
  t.match(
    risks({ links: [{ name: "eth0" }] }, machine),
    /203\.0\.113\.9 of the hub is reached by eth1, which is not in "links"/u,
  );
  t.equal(risks({ links: [{ name: "eth0" }, { name: "eth1" }] }, machine), "");
});

test("[LCK-43] a tunnel whose far end could not be told: shut, a closed list of ports is open; a policy has to name more", async (t) => {
  const machine = behind([{ link: undefined, protocol: "udp", peer: undefined, port: undefined }]);
  t.same(opened(machine), [
    "out tcp 443 1194 anybody tunnel-unknown",
    "out udp 443 500 1194 4500 41641 51820 anybody tunnel-unknown",
  ]);
  const both = [{ name: "eth0", dhcp4: true }, { name: "wg0" }];
  t.match(risks({ links: both, network: DNS }, machine), /far end of the tunnel "wg0".*could not be told.*would cut it/u);
  const outbound = [{ protocol: "udp", ports: [1194], to: ["198.18.77.1"] }];
  t.equal(risks({ links: both, network: { outbound } }, machine), "");
  t.match(risks({ links: [{ name: "wg0" }], network: { outbound } }, machine), /could not be told/u);
  t.match(notKnownNow(planLockdown(undefined, labSnapshot(machine)), labSnapshot(machine)).join(), /"wg0".*is open/u);
});

test("[LCK-41] a link that may lead to the hub and is not in the policy is a risk; the backup does not stand for the first", async (t) => {
  const machine = {
    hub: ADDRESSED,
    mayLead: ["eth0"],
    links: [link("eth0", { uplink: "unknown" }), link("eth1", { uplink: "unused" })],
  } as const;
  t.match(risks({ links: [{ name: "eth1" }] }, machine), /"eth0" leads to the hub could not be told.*name it in "links"/u);
  t.equal(risks({ links: [{ name: "eth0" }] }, machine), "");
  t.same(notKnownNow(planLockdown(labPolicy({ links: [{ name: "eth1" }] }), labSnapshot(machine)), labSnapshot(machine)), []);
  const marked = { ...machine, leads: ["eth1"], links: [link("eth0", { uplink: "unknown" }), link("eth1")] };
  t.match(risks({ links: [{ name: "eth1" }] }, marked), /by a rule of the routing, packets may leave there/u);
  const backup = { hub: ADDRESSED, leads: ["eth0"], links: [link("eth0"), link("wwan0")] };
  t.match(risks({ links: [{ name: "wwan0" }] }, backup), /lead to the hub is in "links": eth0/u);
  t.equal(risks({ links: [{ name: "eth0" }] }, backup), "");
});

test("[LCK-40] whatever is not known, nothing more comes in, nothing is forwarded, and a policy that is not shut opens nothing", async (t) => {
  const untold = { link: undefined, protocol: "esp", peer: undefined, port: undefined } as const;
  const facts = labSnapshot({
    ...STUB,
    links: [link("eth0", { dhcp4: "unknown" }), link("tun0", { uplink: "unknown", below: [untold] })],
    mayLead: ["tun0"],
  });
  const shut = planLockdown(labPolicy({ mode: "shut", links: [{ name: "eth0" }, { name: "tun0" }] }), facts);
  const inbound = shut.networkRules.filter(({ direction }) => direction === "in");
  t.same(inbound, []);
  t.match(shut.firewall, /chain forward \{\n\t\ttype filter hook forward priority filter; policy drop;\n\t\}/u);
  t.match(shut.firewall, /^\t\tmeta l4proto 50 accept$/mu);
  const enforced = planLockdown(labPolicy({ links: [{ name: "eth0" }, { name: "tun0" }], network: {} }), facts);
  t.same(
    enforced.networkRules.map(({ why }) => why),
    ["hub"],
  );
});
