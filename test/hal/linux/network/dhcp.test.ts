// What DHCP clients and network managers leave behind. The trees were recorded from the real
// programs on Debian 12 and 13 unless a row says otherwise, and cut to what tells.
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "tap";
import { linuxNetwork } from "../../../../hal/linux/network/index.ts";
import { planLockdown, risksOf } from "../../../../warden/lockdown/plan/index.ts";
import { labPolicy, labSnapshot } from "../../../lab/worlds/lockdown.ts";
import { temporaryDirectory } from "../../../lab/runner/temporary.ts";

type Tree = Readonly<Record<string, string>>;
type Told = "used" | "unused" | "unknown";

/** Of one link, `eth0`, with the number 2 and the address c2:6f:08:f8:3c:d7. */
async function machine(files: Tree, t: Parameters<typeof temporaryDirectory>[0]): Promise<string> {
  const root = await temporaryDirectory(t);
  const link = {
    "sys/class/net/eth0/type": "1\n",
    "sys/class/net/eth0/ifindex": "2\n",
    "sys/class/net/eth0/address": "c2:6f:08:f8:3c:d7\n",
  };
  for (const [path, text] of Object.entries({ ...link, ...files })) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

const NETWORK = "/etc/systemd/network/10-eth0.network";
const networkd = (settings: string, state = ""): Tree => ({
  "run/systemd/netif/links/2": `# This is private data. Do not parse.\nADMIN_STATE=configured\nOPER_STATE=routable\nNETWORK_FILE=${NETWORK}\n${state}`,
  [NETWORK.slice(1)]: `[Match]\nName=eth0\n\n[Network]\n${settings}\n`,
});
const UUID = "d2f6f4eb-e6bc-3fb8-b706-d0a9d0e37732";
const PROFILE = "etc/NetworkManager/system-connections/wired.nmconnection";
const nm = (profile: string, state = ""): Tree => ({
  "run/NetworkManager/devices/2": `[device]\nmanaged=true\nperm-hw-addr-fake=C2:6F:08:F8:3C:D7\nconnection-uuid=${UUID}\nnm-owned=false\n${state}`,
  [PROFILE]: `[connection]\nid=wired\nuuid=${UUID}\ntype=ethernet\n\n${profile}`,
});
const DHCP6_STATE = "DHCP6_CLIENT_IAID=0xfe6d8796\nDHCP6_CLIENT_DUID=DUID-EN/Vendor:0000ab110033bdebf95e192c\n";
const IFSTATE: Tree = { "run/network/ifstate": "lo=lo\neth0=eth0\n" };
const interfaces = (text: string): Tree => ({
  ...IFSTATE,
  "etc/network/interfaces": `auto lo eth0\niface lo inet loopback\n${text}`,
});
const connman = (text: string): Tree => ({
  "run/connman/resolv.conf": "",
  "var/lib/connman/ethernet_c26f08f83cd7_cable/settings": `[ethernet_c26f08f83cd7_cable]\nName=Wired\n${text}`,
});
const SOCKET_HEAD = "  sl  local_address rem_address   st\n";
const PACKET_HEAD = "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n";
const inet6 = (flags: string, length = "80", name = "eth0"): Tree => ({
  "proc/net/if_inet6": `fd5a0020000000000000000000000104 02 ${length} 00 ${flags}     ${name}\n`,
});

const ROWS: Readonly<Record<string, readonly [Tree, Told, Told]>> = {
  "nothing at all": [{}, "unknown", "unknown"],
  "networkd, both families": [
    {
      ...networkd("DHCP=yes", `DHCP_LEASE=/run/systemd/netif/leases/2\n${DHCP6_STATE}`),
      "run/systemd/netif/leases/2": "ADDRESS=198.18.20.100\n",
    },
    "used",
    "used",
  ],
  "networkd, a lease of DHCPv4 and the identifiers of DHCPv6, with settings that cannot be read": [
    {
      "run/systemd/netif/links/2": `ADMIN_STATE=configured\n${DHCP6_STATE}`,
      "run/systemd/netif/leases/2": "ADDRESS=192.168.1.40\n",
    },
    "used",
    "used",
  ],
  "networkd, another link's lease": [{ "run/systemd/netif/leases/3": "ADDRESS=198.18.20.100\n" }, "unknown", "unknown"],
  "networkd, DHCP that has no lease yet": [networkd("DHCP=ipv4"), "used", "unknown"],
  "networkd, DHCPv6 only, in another word": [networkd("DHCP=v6\nIPv6AcceptRA=no"), "unused", "used"],
  "networkd, a static address and a router that says to use DHCPv6": [
    networkd("Address=198.18.20.50/24", DHCP6_STATE),
    "unused",
    "used",
  ],
  "networkd, a static address where a router may still say so": [networkd("Address=198.18.20.50/24"), "unused", "unknown"],
  "networkd, static addresses only": [networkd("Address=198.18.20.50/24\nDHCP=no\nIPv6AcceptRA=no"), "unused", "unused"],
  "networkd, router advertisements that start no DHCPv6": [
    networkd("DHCP=false\n[IPv6AcceptRA]\nDHCPv6Client=no"),
    "unused",
    "unused",
  ],
  "networkd, a drop-in that says otherwise": [
    { ...networkd("DHCP=no\nIPv6AcceptRA=no"), "run/systemd/network/10-eth0.network.d/50-site.conf": "[Network]\nDHCP=ipv4\n" },
    "used",
    "unused",
  ],
  "networkd, a drop-in that takes DHCP back": [
    {
      ...networkd("DHCP=yes\nIPv6AcceptRA=no"),
      "usr/lib/systemd/network/10-eth0.network.d/90-site.conf": "[Network]\nDHCP=no\n",
      "etc/systemd/network/10-eth0.network.d/20-site.conf": "[Network]\nDHCP=ipv6\n",
    },
    "unused",
    "unused",
  ],
  "networkd, a drop-in over another of the same name": [
    {
      ...networkd("IPv6AcceptRA=no"),
      "usr/lib/systemd/network/10-eth0.network.d/site.conf": "[Network]\nDHCP=no\n",
      "etc/systemd/network/10-eth0.network.d/site.conf": "[Network]\nDHCP=yes\n",
    },
    "used",
    "used",
  ],
  "networkd, a drop-in that is too large to tell": [
    {
      ...networkd("Address=198.18.20.50/24\nIPv6AcceptRA=no"),
      "etc/systemd/network/10-eth0.network.d/site.conf": `#${"x".repeat(20_000)}\n[Network]\nDHCP=yes\n`,
    },
    "unknown",
    "unknown",
  ],
  "networkd, a link that it does not manage, with a file of before": [
    { ...networkd("Address=198.18.20.50/24"), "run/systemd/netif/links/2": `ADMIN_STATE=unmanaged\nNETWORK_FILE=${NETWORK}\n` },
    "unknown",
    "unknown",
  ],
  "networkd, a link that it could not configure": [
    { ...networkd("DHCP=ipv6\nIPv6AcceptRA=no"), "run/systemd/netif/links/2": `ADMIN_STATE=failed\nNETWORK_FILE=${NETWORK}\n` },
    "unknown",
    "used",
  ],
  "networkd, static by its file, and dhclient by hand": [
    { ...networkd("Address=198.18.20.50/24"), "run/dhclient.eth0.pid": "1\n" },
    "used",
    "unknown",
  ],
  "NetworkManager's own client": [
    nm(
      "[ipv4]\nmethod=auto\n[ipv6]\nmethod=auto\n",
      "\n[dhcp4]\ndhcp4.dhcp_lease_time=12\n[dhcp6]\ndhcp6.ip6_address=fd5a:20::14f\n",
    ),
    "used",
    "used",
  ],
  "NetworkManager, an older version's lease": [
    {
      "run/NetworkManager/devices/2": "[device]\nmanaged=true\n[dhcp]\nroot-path=\n",
      "var/lib/NetworkManager/internal-1b0e-eth0.lease": "ADDRESS=192.168.1.40\n",
    },
    "used",
    "unknown",
  ],
  "NetworkManager, the leases of another link and of another profile": [
    {
      "run/NetworkManager/devices/2": `[device]\nmanaged=true\nconnection-uuid=${UUID}\n`,
      [`var/lib/NetworkManager/internal-${UUID}-xeth0.lease`]: "",
      [`var/lib/NetworkManager/internal-${UUID}-eth01.lease`]: "",
      "var/lib/NetworkManager/internal-11111111-2222-3333-4444-555555555555-eth0.lease": "",
    },
    "unknown",
    "unknown",
  ],
  "NetworkManager, a profile by DHCP without a lease": [nm("[ipv4]\nmethod=auto\n\n[ipv6]\nmethod=auto\n"), "used", "unknown"],
  "NetworkManager, a static profile, with a lease of a time when it was not": [
    {
      ...nm("[ipv4]\nmethod=manual\naddress1=198.18.20.60/24\n\n[ipv6]\nmethod=disabled\n"),
      [`var/lib/NetworkManager/internal-${UUID}-eth0.lease`]: "",
    },
    "unused",
    "unused",
  ],
  "NetworkManager, DHCPv6 only": [nm("[ipv4]\nmethod=disabled\n\n[ipv6]\nmethod=dhcp\n"), "unused", "used"],
  "NetworkManager, a device that it leaves alone": [
    { ...nm("[ipv4]\nmethod=manual\n"), "run/NetworkManager/devices/2": "[device]\nmanaged=false\n" },
    "unknown",
    "unknown",
  ],
  "NetworkManager with dhclient": [
    { "run/NetworkManager/dhclient-eth0.pid": "47\n", "run/NetworkManager/dhclient6-eth0.pid": "48\n" },
    "used",
    "used",
  ],
  "dhclient, as ifupdown starts it": [{ "run/dhclient.eth0.pid": "21\n", "run/dhclient6.eth0.pid": "22\n" }, "used", "used"],
  "dhclient of another link": [{ "run/dhclient.eth01.pid": "21\n", "run/dhclient.xeth0.pid": "21\n" }, "unknown", "unknown"],
  "dhclient by hand: its sockets alone": [
    {
      "proc/net/udp": `${SOCKET_HEAD}10572: 00000000:0044 00000000:0000 07\n`,
      "proc/net/packet": `${PACKET_HEAD}0000000078198cbf 3      3    0003   2     1 0      0      1\n`,
      "proc/net/if_inet6": "",
    },
    "used",
    "unknown",
  ],
  "a packet sniffer": [
    { "proc/net/packet": `${PACKET_HEAD}0000000078198cbf 3      3    0003   2     1 0      0      1\n` },
    "unknown",
    "unknown",
  ],
  "a lease file that a boot left": [
    { "var/lib/dhcp/dhclient.eth0.leases": "lease {}\n", "var/lib/dhcpcd/eth0.lease": "x" },
    "unknown",
    "unknown",
  ],
  "dhcpcd 9 and 10, one link": [
    { "run/dhcpcd/eth0.pid": "20\n", "var/lib/dhcpcd/eth0.lease": "x", "var/lib/dhcpcd/eth0.lease6": "x" },
    "used",
    "used",
  ],
  "dhcpcd 9 and 10, one family each": [{ "run/dhcpcd/eth0-4.pid": "1\n", "run/dhcpcd/eth0-6.pid": "2\n" }, "used", "used"],
  "dhcpcd 9 and 10, IPv6 only": [{ "run/dhcpcd/eth0-6.pid": "2\n" }, "unknown", "used"],
  "dhcpcd 9 and 10, all links, a wireless net": [
    { "run/dhcpcd/pid": "20\n", "var/lib/dhcpcd/eth0-plant.lease": "x" },
    "used",
    "unknown",
  ],
  "dhcpcd of another link": [{ "run/dhcpcd/eth1.pid": "20\n", "var/lib/dhcpcd/eth1.lease": "x" }, "unknown", "unknown"],
  "dhcpcd's hook": [{ "run/dhcpcd/hook-state/resolv.conf/eth0.dhcp6": "" }, "unknown", "used"],
  "dhcpcd 8": [{ "run/dhcpcd-eth0.pid": "20\n" }, "used", "unknown"],
  "udhcpc of busybox": [{ "run/udhcpc.eth0.pid": "19\n" }, "used", "unknown"],
  "udhcpc and odhcp6c of a system without /run": [
    { "var/run/udhcpc-eth0.pid": "19\n", "var/run/odhcp6c.eth0.pid": "20\n" },
    "used",
    "used",
  ],
  wicked: [{ "run/wicked/leaseinfo.eth0.dhcp.ipv4": "", "run/wicked/leaseinfo.eth0.dhcp.ipv6": "" }, "used", "used"],
  "a client of whatever name that waits for an answer": [
    {
      "proc/net/packet": `${PACKET_HEAD}000000003864b9cf 3      2    0800   2     1 0      0      1\n`,
      ...inet6("00", "80", "eth1"),
    },
    "used",
    "unknown",
  ],
  "the same on another link": [
    { "proc/net/packet": `${PACKET_HEAD}000000003864b9cf 3      2    0800   3     1 0      0      1\n` },
    "unknown",
    "unknown",
  ],
  "an IPv6 address with a lifetime that stands alone": [inet6("00"), "unknown", "used"],
  "an IPv6 address of SLAAC": [inet6("00", "40"), "unknown", "unknown"],
  "a temporary IPv6 address": [inet6("01"), "unknown", "unknown"],
  "an IPv6 address that somebody gave it for ever": [inet6("80"), "unknown", "unknown"],
  "a client of DHCPv6 that listens on its address": [
    {
      ...inet6("00", "40"),
      "proc/net/udp6": `${SOCKET_HEAD}11050: 20005AFD000000000000000004010000:0222 00000000000000000000000000000000:0000 07\n`,
    },
    "unknown",
    "used",
  ],
  "a kernel without IPv6": [{ "proc/net/udp": SOCKET_HEAD }, "unknown", "unused"],
  "a link without IPv6": [{ "proc/sys/net/ipv6/conf/eth0/disable_ipv6": "1\n" }, "unknown", "unused"],
  "ifupdown, DHCP": [interfaces("iface eth0 inet dhcp\niface eth0 inet6 auto\n\tdhcp 1\n"), "used", "used"],
  "ifupdown, static": [
    interfaces("iface eth0 inet static\n\taddress 198.18.20.50/24\niface eth1 inet dhcp\n"),
    "unused",
    "unknown",
  ],
  "ifupdown, in a folder": [
    {
      ...interfaces("source interfaces.d/*\n"),
      "etc/network/interfaces.d/eth0": "iface eth0 inet6 static\n\taddress fd5a:20::50/64\n",
    },
    "unknown",
    "unused",
  ],
  "ifupdown, a file that is named elsewhere": [
    interfaces("source /etc/plant/*.cfg\niface eth0 inet static\n\taddress 198.18.20.50/24\n"),
    "unknown",
    "unknown",
  ],
  "ifupdown, a stanza of another name": [
    { ...interfaces("iface eth0 inet static\niface plant inet dhcp\n"), "run/network/ifstate": "lo=lo\neth0=plant\n" },
    "used",
    "unknown",
  ],
  "ifupdown-ng": [
    { ...interfaces("iface eth0\n  use dhcp\n"), "run/network/ifstate": "", "run/ifstate": "eth0=eth0 1\n" },
    "used",
    "unknown",
  ],
  "ifupdown that did not bring the link up": [
    { ...interfaces("iface eth0 inet static\n"), "run/network/ifstate": "lo=lo\neth01=eth01\n" },
    "unknown",
    "unknown",
  ],
  "connman, DHCP": [connman("IPv4.method=dhcp\nIPv6.method=auto\n"), "used", "unknown"],
  "connman, static": [connman("IPv4.method=manual\nIPv6.method=off\n"), "unused", "unused"],
};

for (const [what, [tree, dhcp4, dhcp6]] of Object.entries(ROWS))
  test(`[LCK-50] DHCP by its traces: ${what}`, async (t) => {
    const [link] = (await linuxNetwork({ root: await machine(tree, t) }).read()).links;
    t.same([link?.dhcp4, link?.dhcp6], [dhcp4, dhcp6]);
    t.equal(link?.dhcp4Trace === undefined, dhcp4 === "unknown", "what is known has a trace");
    t.equal(link?.dhcp6Trace === undefined, dhcp6 === "unknown");
  });

test("[LCK-50] traces that cannot be read prove nothing, and hide no others", async (t) => {
  const root = await machine(
    {
      "run/dhclient.eth0.pid": "1\n",
      "run/systemd/netif/links/2/odd": "",
      "run/NetworkManager/devices/2": `\0${"x".repeat(40_000)}`,
    },
    t,
  );
  mkdirSync(join(root, "etc/network"), { recursive: true });
  symlinkSync("interfaces", join(root, "etc/network/interfaces"));
  const [link] = (await linuxNetwork({ root }).read()).links;
  t.same([link?.dhcp4, link?.dhcp6], ["used", "unknown"]);
});

test("[LCK-51] the kernel's own view: lifetimes and routes as iproute2 lists them; without iproute2, or with one that has no JSON, it is not known", async (t) => {
  const root = await machine({}, t);
  const address = (life: number, scope = "global"): object => ({
    ifname: "eth0",
    addr_info: [{ family: "inet", local: "198.18.20.100", scope, valid_life_time: life }],
  });
  const reads = async (program: string): Promise<string | undefined> => {
    writeFileSync(join(root, "ip"), `#!/bin/sh\n${program}\n`, { mode: 0o755 });
    return (await linuxNetwork({ root, ip: join(root, "ip") }).read()).links[0]?.dhcp4;
  };
  const lists = async (...lines: readonly unknown[]): Promise<string | undefined> =>
    await reads(`cat <<'END'\n${lines.map((line) => `${JSON.stringify(line)}\n`).join("")}END`);
  t.equal(await lists([address(12)], []), "used");
  t.equal(await lists([address(4_294_967_295)], []), "unknown", "static, or a lease that its client does not show");
  t.equal(await lists([address(12, "link")], []), "unknown", "an address of the link alone (RFC 3927)");
  t.equal(
    await lists([], [{ dst: "default", gateway: "198.18.20.1", dev: "eth0", protocol: "dhcp" }]),
    "used",
    "an endless lease",
  );
  t.equal(await lists([], [{ dst: "default", gateway: "198.18.20.1", dev: "eth1", protocol: "dhcp" }]), "unknown");
  t.equal(await lists([], [{ dst: "fd5a:21::/64", dev: "eth0", protocol: "dhcp" }]), "unknown", "a route of IPv6");
  for (const odd of ["exit 1", "echo no JSON", "echo '[{\"ifname\":7}]'", "echo '['"]) t.equal(await reads(odd), "unknown", odd);
});

test("[LCK-50] [LCK-31] a policy without DHCP that is in use is a risk, which names the trace", async (t) => {
  const risks = async (tree: Tree): Promise<string> => {
    const [link] = (await linuxNetwork({ root: await machine(tree, t) }).read()).links;
    const facts = labSnapshot({ links: link === undefined ? [] : [{ ...link, uplink: "used" as const }] });
    return risksOf(planLockdown(labPolicy({ links: [{ name: "eth0", ipv6: true }] }), facts), facts).join("\n");
  };
  t.match(
    await risks({ "run/dhcpcd/eth0-4.pid": "1\n" }),
    /"eth0" has its address by DHCP \(by \/run\/dhcpcd\/eth0-4\.pid\), and "dhcp4"/u,
  );
  t.match(await risks(networkd("", DHCP6_STATE)), /by DHCPv6 \(by \/run\/systemd\/netif\/links\/2\), and "dhcp6"/u);
});
