// What network managers say about DHCP on a link, in their state of this boot and in the settings
// that it names. A setting counts only where the manager's state names it: other settings may be of
// a manager that does not run. [LCK-50]
import { join } from "node:path";
import { attribute } from "../files.ts";
import { type Finding, type Sought, unused, used } from "./finding.ts";
import { filesIn, last, listOf, settingsIn, textOf } from "./settings.ts";

type Settings = ReadonlyMap<string, readonly string[]>;

/**
 * systemd-networkd, by the state that it keeps of a link. It has a lease file for DHCPv4 only; of a
 * client of DHCPv6 the state has the identifiers.
 */
export async function networkd(root: string, { index }: Sought): Promise<readonly Finding[]> {
  const path = `run/systemd/netif/links/${index}`;
  const lease = (await listOf(root, "run/systemd/netif/leases")).includes(index) && index !== "";
  const state = settingsIn(index === "" ? "" : await textOf(root, path));
  const keys = [...state.keys()];
  return [
    ...(lease ? [used(4, `/run/systemd/netif/leases/${index}`)] : []),
    ...(keys.some((key) => /^\.DHCP4?_/u.test(key)) ? [used(4, `/${path}`)] : []),
    ...(keys.some((key) => key.startsWith(".DHCP6_")) ? [used(6, `/${path}`)] : []),
    ...(await networkFile(root, last(state, ".NETWORK_FILE"), last(state, ".ADMIN_STATE"))),
  ];
}

const NETWORK_FOLDERS = ["etc", "run", "usr/local/lib", "usr/lib", "lib"];
/** Nothing said is no. */
const NO = /^(?:|no|false|off|0|n|f|none)$/iu;

/**
 * systemd.network(5). A router advertisement starts DHCPv6 also where `DHCP=` is `no`, unless they
 * are not accepted or must not.
 */
async function networkFile(root: string, path: string, administered: string): Promise<readonly Finding[]> {
  const file = /^\/(?:etc|run|usr\/local\/lib|usr\/lib|lib)\/systemd\/network\/([A-Za-z0-9@:._-]{1,128}\.network)$/u.exec(
    path,
  )?.[1];
  const texts = [await textOf(root, path)];
  if (file === undefined || administered === "unmanaged" || texts[0] === "") return [];
  for (const dropIn of await dropInsOf(root, file)) texts.push(await textOf(root, dropIn));
  const settings = settingsIn(texts.join("\n"));
  const dhcp = last(settings, "Network.DHCP").toLowerCase();
  const off = (family: "4" | "6"): boolean => NO.test(dhcp) || (/^(?:ip)?v[46]$/u.test(dhcp) && !dhcp.endsWith(family));
  const noAdvertisements =
    NO.test(last(settings, "Network.IPv6AcceptRA") || last(settings, "Network.IPv6AcceptRouterAdvertisements") || "yes") ||
    NO.test(last(settings, "IPv6AcceptRA.DHCPv6Client") || "yes");
  const found = [
    off("4") ? unused(4, path) : used(4, path),
    ...(off("6") ? (noAdvertisements ? [unused(6, path)] : []) : [used(6, path)]),
  ];
  // before it is configured, a link may get other settings yet; and one may be hidden
  const isAll = administered.startsWith("config") && texts.every((text) => text !== "");
  return found.filter(({ use }) => use === "used" || isAll);
}

/** In the order of their names; of one name, that of the first folder. */
async function dropInsOf(root: string, file: string): Promise<readonly string[]> {
  const found = new Map<string, string>();
  for (const folder of NETWORK_FOLDERS)
    for (const path of await filesIn(root, `${folder}/systemd/network/${file}.d`, ".conf")) {
      const name = path.split("/").at(-1) ?? "";
      if (!found.has(name)) found.set(name, path);
    }
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, path]) => path);
}

/**
 * NetworkManager, by its state of a device: what a DHCP client got, the lease of its own client or
 * of dhclient, and the method of the profile in force.
 */
export async function networkManager(root: string, { name, index }: Sought): Promise<readonly Finding[]> {
  const path = `run/NetworkManager/devices/${index}`;
  const state = settingsIn(index === "" ? "" : await textOf(root, path));
  if (last(state, "device.managed") !== "true") return [];
  const keys = [...state.keys()];
  const uuid = last(state, "device.connection-uuid");
  const leases = (await listOf(root, "var/lib/NetworkManager")).flatMap((file): readonly Finding[] => {
    const family = /^(?:internal|dhclient)(6?)-/u.exec(file)?.[1];
    if (family === undefined || !file.endsWith(`-${name}.lease`) || !file.includes(uuid)) return [];
    return [used(family === "6" ? 6 : 4, `/var/lib/NetworkManager/${file}`)];
  });
  const got = ([4, 6] as const).filter((family) => keys.some((key) => key.startsWith(`dhcp${family}.`)));
  const set = await profile(root, uuid);
  // a lease that outlived its boot counts only where the profile leaves it open
  const open = leases.filter(({ family }) => set.every((one) => one.family !== family));
  return [...got.map((family) => used(family, `/${path}`)), ...set, ...open];
}

const PROFILE_FOLDERS = ["etc", "run", "usr/lib"];

/**
 * nm-settings-keyfile(5). With `auto` DHCPv4 is used, and DHCPv6 where a router says so. `ignore`
 * leaves IPv6 to others.
 */
async function profile(root: string, uuid: string): Promise<readonly Finding[]> {
  if (!/^[0-9a-f-]{36}$/u.test(uuid)) return [];
  for (const folder of PROFILE_FOLDERS)
    for (const path of await filesIn(root, `${folder}/NetworkManager/system-connections`)) {
      const settings = settingsIn(await textOf(root, path));
      if (last(settings, "connection.uuid") === uuid) return methods(settings, path);
    }
  return [];
}

function methods(settings: Settings, path: string): readonly Finding[] {
  const fixed = (method: string): boolean => /^(?:manual|disabled|link-local|shared)$/u.test(method);
  const [v4, v6] = [last(settings, "ipv4.method"), last(settings, "ipv6.method")];
  return [
    ...(v4 === "auto" ? [used(4, `/${path}`)] : []),
    ...(v6 === "dhcp" ? [used(6, `/${path}`)] : []),
    ...(fixed(v4) ? [unused(4, `/${path}`)] : []),
    ...(fixed(v6) ? [unused(6, `/${path}`)] : []),
  ];
}

/**
 * interfaces(5), of Debian, of busybox and of ifupdown-ng. Only for links that ifup brought up in
 * this boot, by the name of the stanza that it took. Files that are named elsewhere are not read,
 * so with one of these nothing is called unused.
 */
export async function ifupdown(root: string, { name }: Sought): Promise<readonly Finding[]> {
  const states = ["run/network/ifstate", `run/network/ifstate.${name}`, "run/ifstate"];
  const lines: string[] = [];
  for (const path of states) lines.push(...(await textOf(root, path)).split("\n").map((line) => line.trim()));
  const up = lines.find((line) => line === name || line.startsWith(`${name}=`));
  if (up === undefined) return [];
  const stanza = up.split(/[=\s]/u)[1] ?? name;
  const findings: Finding[] = [];
  let isAll = true;
  for (const path of ["etc/network/interfaces", ...(await filesIn(root, "etc/network/interfaces.d"))]) {
    let family: 4 | 6 = 4;
    let isOwn = false;
    for (const line of (await textOf(root, path)).split("\n")) {
      const [word = "", ...words] = line.trim().split(/\s+/u);
      if (word === "iface") [isOwn, family] = [words[0] === stanza, words[1] === "inet6" ? 6 : 4];
      else if (/^(?:auto|mapping|source|source-directory|allow-.*)$/u.test(word)) isOwn = false;
      if (word.startsWith("source")) isAll &&= /(?:^|\/)interfaces\.d(?:\/|$)/u.test(words[0] ?? "");
      const method = word === "iface" ? (words[2] ?? "") : `${word} ${words.join(" ")}`;
      if (isOwn && /^(?:dhcp|bootp|dhcp 1|use dhcp)$/u.test(method)) findings.push(used(family, `/${path}`));
      if (isOwn && word === "iface" && method === "static") findings.push(unused(family, `/${path}`));
    }
  }
  return findings.filter(({ use }) => use === "used" || isAll);
}

/** ConnMan's settings of the service on a link, which is named by its MAC address. */
export async function connman(root: string, { name }: Sought): Promise<readonly Finding[]> {
  const services = (await listOf(root, "run")).includes("connman") ? await listOf(root, "var/lib/connman") : [];
  const mac = services.length === 0 ? "" : (await attribute(join(root, "sys/class/net", name), "address")).replaceAll(":", "");
  const findings: Finding[] = [];
  for (const service of services.filter((one) => mac !== "" && one.split("_")[1] === mac)) {
    const path = `var/lib/connman/${service}/settings`;
    const settings = settingsIn(await textOf(root, path));
    const [v4, v6] = [last(settings, `${service}.IPv4.method`), last(settings, `${service}.IPv6.method`)];
    if (v4 === "dhcp") findings.push(used(4, `/${path}`));
    if (v4 === "manual" || v4 === "off") findings.push(unused(4, `/${path}`));
    if (v6 === "manual" || v6 === "off") findings.push(unused(6, `/${path}`));
  }
  return findings;
}
