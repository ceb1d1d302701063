// Network interfaces, the USB devices that provide them, and whether their addresses come by DHCP.
// Documentation/ABI/testing/sysfs-class-net. [LCK-31]
import { join } from "node:path";
import type { NetworkLink } from "../../ports.ts";
import { withDhcp } from "./dhcp/index.ts";
import { attribute, endOf, namesIn } from "./files.ts";
import { tunnelKind } from "./tunnels.ts";

/** linux/if_arp.h */
const ARPHRD_LOOPBACK = "772";
/** A component of a device's path that is a device on a USB bus. */
const USB_PORT = /^\d{1,3}-\d{1,3}(?:\.\d{1,3})*$/u;
/**
 * Names that a packet filter's table can hold. The kernel accepts almost any name for an interface
 * (dev_valid_name: no blank, no slash, no colon). A name with a quote or a star appears in no plan,
 * so that interface stays shut.
 */
const PLAIN_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,14}$/u;

/** `tunnel`: the kind of tunnel that the link is. `lower`: the links that it is made of. */
export type FoundLink = Omit<NetworkLink, "below"> & { readonly tunnel: string | undefined; readonly lower: readonly string[] };

/** Sorted by name. @param ip see {@link withDhcp}. @throws Fault `file.read-failed`. */
export async function readLinks(root: string, ip: string | undefined): Promise<readonly FoundLink[]> {
  const folder = join(root, "sys/class/net");
  const links: (Pick<FoundLink, "name" | "usb" | "tunnel" | "lower"> & { readonly index: string })[] = [];
  for (const name of (await namesIn(folder)).filter((one) => PLAIN_NAME.test(one) && one !== "lo")) {
    const type = await attribute(join(folder, name), "type");
    if (type === "" || type === ARPHRD_LOOPBACK) continue; // bonding_masters is a plain file
    const index = await attribute(join(folder, name), "ifindex");
    const tunnel = await tunnelKind(join(folder, name), type);
    const lower = (await namesIn(join(folder, name))).filter((one) => one.startsWith("lower_")).map((one) => one.slice(6));
    links.push({
      name,
      usb: await usbPortOf(join(folder, name), lower),
      tunnel,
      lower,
      index: /^\d{1,10}$/u.test(index) ? index : "",
    });
  }
  const found = await withDhcp(root, ip, links);
  return found.map(({ name, usb, tunnel, lower, dhcp4, dhcp6, dhcp4Trace, dhcp6Trace }) => ({
    name,
    usb,
    tunnel,
    lower,
    dhcp4,
    dhcp6,
    dhcp4Trace,
    dhcp6Trace,
  }));
}

/**
 * The USB port of the interface itself, or of the first interface below it that has one (for a VLAN
 * or a bridge). A modem that is dialled over a tty (ppp) is not recognized.
 */
async function usbPortOf(link: string, lower: readonly string[]): Promise<string | undefined> {
  for (const device of ["device", ...lower.map((name) => join(`lower_${name}`, "device"))]) {
    const path = await endOf(join(link, device));
    const port = path?.split("/").findLast((part) => USB_PORT.test(part));
    if (port !== undefined) return port;
  }
  return undefined;
}
