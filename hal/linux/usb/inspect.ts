// Reading the USB tree from sysfs. Only `serial`, `disable` and, on some kernels, `descriptors`
// wait for a lock; every other attribute is read at once. [LCK-8] [LCK-9]
import { createHash } from "node:crypto";
import { basename, join } from "node:path";
import { Fault } from "../../fault.ts";
import type { UsbController, UsbDevice, UsbPort, UsbState } from "../../ports.ts";
import { linkedName, namesIn, type ReadAttribute, readDescriptors, readNumber } from "./attributes.ts";
import type { BoundedAccess } from "./bounded-access.ts";
import { DEVICE_DESCRIPTOR_BYTES, parseDescriptors } from "./descriptors.ts";
import type { LastKnown } from "./last-known.ts";
import { ENTRIES_MAX, HUB_ENTRIES_MAX, SERIAL_CHARACTERS_MAX } from "./limits.ts";
import { CONTROLLER, DEVICE, INTERFACE, portName } from "./names.ts";

/** The way to the kernel's view of the tree. */
export interface UsbSysfs {
  /** The folder of all devices, /sys/bus/usb/devices. */
  readonly devices: string;
  readonly read: ReadAttribute;
  /** For the attributes that may wait for a lock. */
  readonly bounded: BoundedAccess;
}

/** What the kernel said last, by {@link deviceKey} and by {@link portKey}. */
export interface LastKnownTree {
  readonly appearances: LastKnown<Appearance>;
  /** The `disable` switches of the ports. */
  readonly switches: LastKnown<boolean | undefined>;
}

/** The part of a device's state that the device itself provides. */
type Appearance = Pick<UsbDevice, "descriptors" | "claims" | "flaw">;

/** Reads the whole tree. Where the kernel is too busy to answer, the last known value stands. */
export async function readTree(sysfs: UsbSysfs, { appearances, switches }: LastKnownTree): Promise<UsbState> {
  const { devices, read } = sysfs;
  const controllers: UsbController[] = [];
  const ports: UsbPort[] = [];
  const found: UsbDevice[] = [];
  const present = new Set<string>();
  const readPorts = async (hub: string, number: number | undefined): Promise<void> => {
    for (const folder of await portFolders(devices, hub)) {
      const [name, peer] = [portName(basename(folder)) ?? "", await linkedName(join(folder, "peer"))];
      const key = portKey(hub, number, name);
      present.add(key);
      const disabled = await switches.readOrRecall(key, () => readSwitch(sysfs, hub, folder));
      ports.push({ name, disabled, peer: peer === undefined ? undefined : portName(peer) });
    }
  };
  for (const name of await namesIn(devices, ENTRIES_MAX)) {
    if (CONTROLLER.test(name)) {
      controllers.push({ name, authorizedDefault: await readNumber(read, join(devices, name, "authorized_default")) });
      await readPorts(name, await deviceNumber(sysfs, name));
    } else if (DEVICE.test(name)) {
      const status = await readStatus(sysfs, name);
      if (status === undefined) continue;
      const key = deviceKey(status);
      present.add(key);
      const appearance = await appearances.readOrRecall(key, () => readAppearance(sysfs, name));
      found.push({ ...status, ...(appearance ?? appearanceOf(undefined, undefined)) });
      await readPorts(name, status.number);
    }
  }
  for (const lastKnown of [appearances, switches]) lastKnown.retain(present);
  return { controllers, ports, devices: found };
}

/**
 * Reads one device as it is now, never from what was known before.
 * @returns undefined when it is unplugged.
 * @throws Fault `usb.busy`, `usb.unreadable`.
 */
export async function inspectDevice(sysfs: UsbSysfs, port: string): Promise<UsbDevice | undefined> {
  const status = await readStatus(sysfs, port);
  return status === undefined ? undefined : { ...status, ...(await readAppearance(sysfs, port)) };
}

/** A device keeps its number: the kernel gives each new device the next one. */
export function deviceKey({ port, number }: Pick<UsbDevice, "port" | "number">): string {
  return `${port}=${number}`;
}

/** Another hub in the same place has other switches under the same names. */
export function portKey(hub: string, number: number | undefined, port: string): string {
  return `${hub}=${number ?? ""} ${port}`;
}

/** The kernel's number of a device or controller. */
export async function deviceNumber({ devices, read }: UsbSysfs, name: string): Promise<number | undefined> {
  return await readNumber(read, join(devices, name, "devnum"));
}

/** The meaning of a port's `disable`; undefined when there is no such attribute. */
export function isDisabled(text: string | undefined): boolean | undefined {
  return text === undefined ? undefined : text === "1";
}

/**
 * The folders of the ports of the hub `name`. They lie in the hub's first interface, and the number
 * of its configuration may vary.
 */
export async function portFolders(devices: string, name: string): Promise<readonly string[]> {
  const hub = join(devices, name);
  const folders: string[] = [];
  for (const inner of await namesIn(hub, HUB_ENTRIES_MAX)) {
    if (!INTERFACE.test(inner)) continue;
    const ports = (await namesIn(join(hub, inner), HUB_ENTRIES_MAX)).filter((port) => portName(port) !== undefined);
    folders.push(...ports.map((port) => join(hub, inner, port)));
  }
  return folders;
}

/** @returns undefined when the device was unplugged meanwhile. */
async function readStatus(sysfs: UsbSysfs, port: string): Promise<Omit<UsbDevice, keyof Appearance> | undefined> {
  const [number, authorized] = [await deviceNumber(sysfs, port), await sysfs.read(join(sysfs.devices, port, "authorized"))];
  if (number === undefined || authorized === undefined) return undefined;
  return { port, number, authorized: authorized !== "0" }; // an unknown value counts as authorized
}

async function readAppearance({ devices, read, bounded }: UsbSysfs, port: string): Promise<Appearance> {
  const folder = join(devices, port);
  return await bounded.run(port, async () =>
    appearanceOf(await readDescriptors(join(folder, "descriptors")), await read(join(folder, "serial"))),
  );
}

function appearanceOf(bytes: Uint8Array | undefined, serial: string | undefined): Appearance {
  // no hash stands for what was not read: a rule could name it
  if (bytes === undefined || bytes.byteLength < DEVICE_DESCRIPTOR_BYTES)
    return { descriptors: undefined, claims: undefined, flaw: "they cannot be read" };
  return { descriptors: createHash("sha256").update(bytes).digest("hex"), ...claimsOf(bytes, serial) };
}

function claimsOf(descriptors: Uint8Array, serial: string | undefined): Pick<UsbDevice, "claims" | "flaw"> {
  if (serial !== undefined && serial.length > SERIAL_CHARACTERS_MAX)
    return { claims: undefined, flaw: `its serial number has more than ${SERIAL_CHARACTERS_MAX} characters` };
  try {
    return { claims: { ...parseDescriptors(descriptors), serial } };
  } catch (error) {
    if (error instanceof Fault && error.code === "usb.invalid") return { claims: undefined, flaw: error.message };
    throw error;
  }
}

async function readSwitch({ read, bounded }: UsbSysfs, hub: string, folder: string): Promise<boolean | undefined> {
  return isDisabled(await bounded.run(hub, () => read(join(folder, "disable"))));
}
