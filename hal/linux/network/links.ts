// Network interfaces, the USB devices that provide them, and the traces that DHCP clients leave.
// Documentation/ABI/testing/sysfs-class-net. [LCK-31]
import { join } from "node:path";
import type { NetworkLink, Use } from "../../ports.ts";
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

/** `tunnel`: the kind of tunnel that the link is. */
export type FoundLink = Omit<NetworkLink, "below"> & { readonly tunnel: string | undefined };

/** Sorted by name. @throws Fault `file.read-failed`. */
export async function readLinks(root: string): Promise<readonly FoundLink[]> {
  const folder = join(root, "sys/class/net");
  const traces = await readTraces(root);
  const links: FoundLink[] = [];
  for (const name of (await namesIn(folder)).filter((one) => PLAIN_NAME.test(one) && one !== "lo")) {
    const type = await attribute(join(folder, name), "type");
    if (type === "" || type === ARPHRD_LOOPBACK) continue; // bonding_masters is a plain file
    const index = await attribute(join(folder, name), "ifindex");
    const tunnel = await tunnelKind(join(folder, name), type);
    links.push({ name, usb: await usbPortOf(join(folder, name)), ...dhcpOf(traces, name, index), tunnel });
  }
  return links;
}

/**
 * The USB port of the interface itself, or of the first interface below it that has one (for a VLAN
 * or a bridge). A modem that is dialled over a tty (ppp) is not recognized.
 */
async function usbPortOf(link: string): Promise<string | undefined> {
  const lower = (await namesIn(link)).filter((name) => name.startsWith("lower_")).map((name) => join(name, "device"));
  for (const device of ["device", ...lower]) {
    const path = await endOf(join(link, device));
    const port = path?.split("/").findLast((part) => USB_PORT.test(part));
    if (port !== undefined) return port;
  }
  return undefined;
}

/**
 * Files that DHCP clients keep below /run while they hold an address. Files that outlive a boot
 * would prove nothing.
 */
interface Traces {
  /** systemd-networkd: one file for each interface, named by its index; IPv4 only. */
  readonly networkd: ReadonlySet<string>;
  /** dhclient as ifupdown starts it, and udhcpc. */
  readonly run: ReadonlySet<string>;
  /** dhcpcd's resolv.conf hook. */
  readonly dhcpcd: ReadonlySet<string>;
}

async function readTraces(root: string): Promise<Traces> {
  const names = async (folder: string): Promise<ReadonlySet<string>> => new Set(await namesIn(join(root, folder)));
  return {
    networkd: await names("run/systemd/netif/leases"),
    run: await names("run"),
    dhcpcd: await names("run/dhcpcd/hook-state/resolv.conf"),
  };
}

function dhcpOf({ networkd, run, dhcpcd }: Traces, name: string, index: string): Pick<NetworkLink, "dhcp4" | "dhcp6"> {
  return {
    dhcp4: traced(
      networkd.has(index) || run.has(`dhclient.${name}.pid`) || run.has(`udhcpc.${name}.pid`) || dhcpcd.has(`${name}.dhcp`),
    ),
    dhcp6: traced(run.has(`dhclient6.${name}.pid`) || run.has(`udhcpc6.${name}.pid`) || dhcpcd.has(`${name}.dhcp6`)),
  };
}

/** A client that leaves no trace here may run all the same. */
function traced(found: boolean): Use {
  return found ? "used" : "unknown";
}
