// DHCP clients that run by themselves, as their files below /run show. A file that outlives a boot
// proves nothing by itself. [LCK-50]
import { listOf } from "./settings.ts";
import { type Finding, literal, type Sought, used } from "./finding.ts";

/** Where they keep process ids: /var/run where a small system has no /run. */
const FOLDERS = ["run", "run/network", "run/NetworkManager", "run/dhclient", "var/run"];

/**
 * dhclient as ifupdown (`dhclient.eth0.pid`) and NetworkManager (`dhclient6-eth0.pid`) start it,
 * udhcpc as busybox's ifup and OpenWrt do, dhcpcd up to version 8, and two clients of DHCPv6 alone.
 */
const CLIENT = String.raw`(?:(?:dhclient|udhcpc|dhcpcd)(6?)|(?:odhcp|dhcp)(6)c)`;

export async function readClients(root: string): Promise<(link: Sought) => readonly Finding[]> {
  const pids: string[] = [];
  for (const folder of FOLDERS)
    pids.push(...(await listOf(root, folder)).filter((name) => name.endsWith(".pid")).map((name) => `${folder}/${name}`));
  const dhcpcd = await readDhcpcd(root);
  const wicked = await listOf(root, "run/wicked");
  return ({ name }) => {
    const client = new RegExp(`/${CLIENT}[._-]${literal(name)}(?:-4|-(6))?\\.pid$`, "u");
    return [
      ...pids.flatMap((path) => {
        const match = client.exec(path);
        return match === null ? [] : [used(match.slice(1).includes("6") ? 6 : 4, `/${path}`)];
      }),
      ...dhcpcd(name),
      ...wicked.flatMap((file) => {
        const family = file.startsWith(`leaseinfo.${name}.dhcp.ipv`) ? file.at(-1) : undefined;
        return family === "4" || family === "6" ? [used(family === "4" ? 4 : 6, `/run/wicked/${file}`)] : [];
      }),
    ];
  };
}

/**
 * dhcpcd 9 and 10: one process for a link (`eth0.pid`), for one family of it (`eth0-4.pid`), or for
 * all links (`pid`). Then only its lease says which: `eth0.lease` and `eth0.lease6`, or
 * `eth0-NET.lease` of a wireless net.
 */
async function readDhcpcd(root: string): Promise<(link: string) => readonly Finding[]> {
  const own = await listOf(root, "run/dhcpcd");
  const hooks = await listOf(root, "run/dhcpcd/hook-state/resolv.conf");
  const runs = own.length > 0 || (await listOf(root, "run")).includes("dhcpcd.pid");
  const leases = runs ? await listOf(root, "var/lib/dhcpcd") : [];
  return (name) => [
    ...own.flatMap((file) => {
      if (file === `${name}.pid` || file === `${name}-4.pid`) return [used(4, `/run/dhcpcd/${file}`)];
      return file === `${name}-6.pid` ? [used(6, `/run/dhcpcd/${file}`)] : [];
    }),
    ...hooks.flatMap((file) => {
      if (file !== `${name}.dhcp` && file !== `${name}.dhcp6`) return [];
      return [used(file.endsWith("6") ? 6 : 4, `/run/dhcpcd/hook-state/resolv.conf/${file}`)];
    }),
    ...leases.flatMap((file) => {
      const isOwn = file.startsWith(`${name}.lease`) || (file.startsWith(`${name}-`) && /\.lease6?$/u.test(file));
      return isOwn ? [used(file.endsWith("6") ? 6 : 4, `/var/lib/dhcpcd/${file}`)] : [];
    }),
  ];
}
