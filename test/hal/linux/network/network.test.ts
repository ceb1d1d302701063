// The network of a simulated machine, and of this one.
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "tap";
import { linuxNetwork } from "../../../../hal/linux/network/index.ts";
import { LINKS_MAX } from "../../../../hal/linux/network/limits.ts";
import { temporaryDirectory } from "../../../lab/runner/temporary.ts";

function put(root: string, files: Readonly<Record<string, string>>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
}

const ROUTE_HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";
const none = {
  usb: undefined,
  dhcp4: "unknown",
  dhcp6: "unknown",
  dhcp4Trace: undefined,
  dhcp6Trace: undefined,
  below: [],
};

test("[LCK-31] links show the USB device below them, also below a VLAN; the loopback, plain files and names that no table can hold are left out", async (t) => {
  const root = await temporaryDirectory(t);
  put(root, {
    "sys/class/net/lo/type": "772\n",
    "sys/class/net/eth0/type": "1\n",
    "sys/class/net/eth0.7/type": "1\n",
    "sys/class/net/wwan0/type": "65534\n",
    "sys/class/net/veth*/type": "1\n",
    'sys/class/net/x"accept/type': "1\n",
    "sys/class/net/bonding_masters": "\n",
    "sys/devices/pci0/usb1/1-1/1-1.3/1-1.3:1.4/uevent": "",
  });
  symlinkSync("../../../devices/pci0/usb1/1-1/1-1.3/1-1.3:1.4", join(root, "sys/class/net/wwan0/device"));
  symlinkSync("../wwan0", join(root, "sys/class/net/eth0.7/lower_wwan0"));
  const { links, routes, nameServers } = await linuxNetwork({ root }).read();
  t.same(links, [
    { ...none, name: "eth0" },
    { ...none, name: "eth0.7", usb: "1-1.3" },
    { ...none, name: "wwan0", usb: "1-1.3" },
  ]);
  t.same([routes, nameServers], [[], []], "what does not exist is empty");
});

test("[LCK-31] routes of both families, without those that reject or are down; the process's own view comes first", async (t) => {
  const root = await temporaryDirectory(t);
  const route =
    `${ROUTE_HEAD}eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n` +
    "eth1\t0007120A\t00000000\t0001\t0\t0\t0\t00F0FFFF\t0\t0\t0\n" +
    "*\t0008120A\t00000000\t0201\t0\t0\t0\t00FFFFFF\t0\t0\t0\neth1\t0009120A\t00000000\t0000\t0\t0\t0\t00FFFFFF\t0\t0\t0\nhalf a li";
  const zeros = "0".repeat(32);
  const ipv6 =
    `${zeros} 00 ${zeros} 00 fd000000000000000000000000000001 00000400 00000002 00000000 00000003     eth0\n` +
    `20010db8000000000000000000000000 20 ${zeros} 00 ${zeros} 00000100 00000001 00000000 00000001     eth1\n` +
    `${zeros} 00 ${zeros} 00 ${zeros} ffffffff 00000001 00000000 00200200       lo\n`;
  put(root, { "proc/net/route": route, "proc/net/ipv6_route": ipv6 });
  const expected = [
    { link: "eth0", family: 4, bytes: [0, 0, 0, 0], length: 0 },
    { link: "eth1", family: 4, bytes: [10, 18, 7, 0], length: 20 },
    { link: "eth0", family: 6, bytes: Array.from({ length: 16 }, () => 0), length: 0 },
    { link: "eth1", family: 6, bytes: [...Buffer.from(`20010db8${"0".repeat(24)}`, "hex")], length: 32 },
  ];
  t.same((await linuxNetwork({ root }).read()).routes, expected);
  put(root, { "proc/self/net/route": ROUTE_HEAD, "proc/self/net/ipv6_route": "" });
  t.same((await linuxNetwork({ root }).read()).routes, []);
});

test("[LCK-31] name servers in canonical form, also behind systemd-resolved; none on this machine, and nothing that is not an address", async (t) => {
  const root = await temporaryDirectory(t);
  put(root, {
    "run/systemd/resolve/stub-resolv.conf": "nameserver 127.0.0.53\noptions edns0\n",
    "run/systemd/resolve/resolv.conf":
      "# by resolved\nnameserver 192.0.2.53\nnameserver 2001:DB8:0::1\nnameserver fe80::1%eth0\nnameserver fe80::1\nnameserver 010.0.0.1\nnameserver dns.example\nnameserver 192.0.2.53 ; accept\nnameserver 192.0.2.54 # eth0\n  nameserver\t192.0.2.55\t# wlan0\nnameserver 192.0.2.5x\n",
    "etc/hosts": "",
  });
  symlinkSync("../run/systemd/resolve/stub-resolv.conf", join(root, "etc/resolv.conf"));
  t.same((await linuxNetwork({ root }).read()).nameServers, ["192.0.2.53", "2001:db8::1", "192.0.2.54", "192.0.2.55"]);
  const looped = await temporaryDirectory(t);
  put(looped, { "etc/hosts": "" });
  symlinkSync("resolv.conf", join(looped, "etc/resolv.conf"));
  t.same((await linuxNetwork({ root: looped }).read()).nameServers, [], "a link to itself");
});

test("[LCK-31] when there are too many links, those with a route stay; this machine can be read as it is", async (t) => {
  const root = await temporaryDirectory(t);
  for (let n = 0; n < LINKS_MAX + 20; n++) put(root, { [`sys/class/net/veth${1000 + n}/type`]: "1\n" });
  put(root, {
    "sys/class/net/wan/type": "1\n",
    "proc/net/route": `${ROUTE_HEAD}wan\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n`,
  });
  const { links } = await linuxNetwork({ root }).read();
  t.equal(links.length, LINKS_MAX);
  t.ok(links.some(({ name }) => name === "wan"));
  const here = await linuxNetwork({ root: "/" }).read();
  t.notOk(here.links.some(({ name }) => name === "lo"));
});
