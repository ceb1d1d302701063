// The network interfaces that are part of the board, with their permanent MACs. [ID-1] [ID-2]
import { realpath } from "node:fs/promises";
import { join, relative } from "node:path";
import { Fault } from "../../fault.ts";
import { errnoOf, linuxOps, readFault, readKernelFile } from "../files/index.ts";
import { INTERFACES_MAX } from "./limits.ts";

export interface BuiltInInterface {
  readonly name: string;
  readonly mac: string;
}

const ATTRIBUTE_BYTES_MAX = 64;
const MAC_PATTERN = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/;

/**
 * Documentation/ABI/testing/sysfs-class-net, addr_assign_type: "0: permanent address; 1: randomly
 * generated; 2: stolen from another device; 3: set by user".
 */
const ASSIGNED_PERMANENTLY = "0";

/**
 * A component of the device's path which shows that the interface can be unplugged (a USB bus) or
 * is the other end of a USB cable (a gadget).
 */
const NOT_BUILT_IN = /^(usb\d+|gadget(\.\d+)?)$/;

/**
 * Built-in interfaces in the kernel's order (by ifindex). The kernel guarantees that `device` links
 * to the hardware of an interface, that bridges, bonds, VLANs and tunnels have no such link, and
 * that addr_assign_type tells a permanent MAC from one that was set. sysfs does not show the
 * permanent MAC of an interface whose MAC was set; only a bond keeps those of its members in
 * bonding_slave/perm_hwaddr. Such an interface is left out: the warden runs before anything sets
 * MACs.
 * @throws Fault `file.read-failed`.
 */
export async function builtInInterfaces(root: string): Promise<readonly BuiltInInterface[]> {
  const folder = join(root, "sys/class/net");
  const found: { readonly name: string; readonly mac: string; readonly index: number }[] = [];
  for (const name of await interfaceNames(folder)) {
    const mac = (await isBuiltIn(root, join(folder, name))) ? await permanentMac(join(folder, name)) : undefined;
    if (mac !== undefined)
      found.push({ name, mac, index: Number((await attribute(join(folder, name), "ifindex")) ?? Number.MAX_SAFE_INTEGER) });
  }
  return found.sort((a, b) => a.index - b.index || (a.name < b.name ? -1 : 1)).map(({ name, mac }) => ({ name, mac }));
}

async function interfaceNames(folder: string): Promise<readonly string[]> {
  try {
    const names = await linuxOps.names(folder, INTERFACES_MAX);
    if (names.length > INTERFACES_MAX)
      throw new Fault("file.read-failed", `list "${folder}": it has more than ${INTERFACES_MAX} entries`);
    return names;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw readFault(error, `list "${folder}"`);
  }
}

async function isBuiltIn(root: string, folder: string): Promise<boolean> {
  try {
    const device = relative(await realpath(root), await realpath(join(folder, "device")));
    return !device.split("/").some((component) => NOT_BUILT_IN.test(component));
  } catch (error) {
    // ENOTDIR: /sys/class/net also holds plain files (bonding_masters). An interface that has
    // disappeared meanwhile is not built in either.
    if (["ENOENT", "ENOTDIR"].includes(errnoOf(error) ?? "")) return false;
    throw readFault(error, `follow "${folder}/device"`);
  }
}

async function permanentMac(folder: string): Promise<string | undefined> {
  const assigned = await attribute(folder, "addr_assign_type");
  const mac =
    (await attribute(folder, "bonding_slave/perm_hwaddr")) ??
    (assigned === ASSIGNED_PERMANENTLY ? await attribute(folder, "address") : undefined);
  const lower = mac?.toLowerCase();
  // CAN has no MAC, InfiniBand a longer one
  return lower !== undefined && MAC_PATTERN.test(lower) ? lower : undefined;
}

async function attribute(folder: string, name: string): Promise<string | undefined> {
  return (await readKernelFile(join(folder, name), ATTRIBUTE_BYTES_MAX))?.trim();
}
