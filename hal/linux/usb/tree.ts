// The USB tree in sysfs: Documentation/usb/authorization.rst, Documentation/ABI/testing/sysfs-bus-usb. [LCK-7] [LCK-8] [LCK-9]
import { createHash } from "node:crypto";
import { join } from "node:path";
import { Fault } from "../../fault.ts";
import type { UsbClaims, UsbDevice, UsbPort, UsbState, UsbTree } from "../../ports.ts";
import { isGone, linkedName, namesIn, readAttribute, readDescriptors, readNumber, writeAttribute } from "./attributes.ts";
import { parseDescriptors } from "./descriptors.ts";
import { ENTRIES_MAX, HUB_ENTRIES_MAX, KERNEL_MS_MAX, SERIAL_CHARACTERS_MAX } from "./limits.ts";
import { createPatience, type Patience } from "./patience.ts";

export interface UsbTreeOptions {
  /** `/`, or a folder that looks like the kernel's view. */
  readonly root: string;
  /** Writes one attribute: another way for a simulated kernel. */
  readonly write?: (path: string, value: string) => Promise<void>;
  /** Reads one; undefined when it is not there. */
  readonly read?: (path: string) => Promise<string | undefined>;
  /** How long one call may take. */
  readonly waitMs?: number;
}

/**
 * [LCK-7] usb.c: `dev_policy = val <= USB_DEVICE_AUTHORIZE_INTERNAL ? val : USB_DEVICE_AUTHORIZE_ALL`: any other number is stored as "all", without an error. So
 * a value is written by its name only, and "all" (1) has none here.
 */
const DEFAULTS = { none: "0", hardwired: "2" } as const;

const CONTROLLER = /^usb(\d{1,3})$/u;
const DEVICE = /^\d{1,3}-\d{1,3}(?:\.\d{1,3})*$/u;
/** `1-0:1.0` of a controller, `1-1.2:1.0` of a hub. */
const INTERFACE = /^\d{1,3}-[\d.]+:\d{1,3}\.\d{1,3}$/u;
/** `usb1-port2`, `1-1.2-port3`. */
const PORT = /^(?:usb(\d{1,3})|(\d{1,3}-\d{1,3}(?:\.\d{1,3})*))-port(\d{1,3})$/u;

/** What can be asked of the kernel, and what it said the last time, for while it does not answer. */
interface Kernel {
  readonly devices: string;
  readonly read: (path: string) => Promise<string | undefined>;
  readonly patience: Patience;
  readonly last: { state: UsbState };
}

export function linuxUsbTree(options: UsbTreeOptions): UsbTree {
  const { root, write = writeAttribute, read = readAttribute, waitMs = KERNEL_MS_MAX } = options;
  const devices = join(root, "sys/bus/usb/devices");
  const patience = createPatience(waitMs);
  const kernel: Kernel = { devices, read, patience, last: { state: { controllers: [], ports: [], devices: [] } } };
  /** Writes and reads back: a value that is not in force afterwards is a fault, whatever the write said. */
  const put = async (what: string, path: string, wanted: string): Promise<void> => {
    const found = await patience
      .within(nameBelow(devices, path), async () => {
        await write(path, wanted);
        return await read(path);
      })
      .catch((error: unknown) => {
        if (isGone(error)) throw new Fault("usb.gone", `set ${what} to ${wanted}: "${path}" is not there`, { cause: error });
        throw new Fault("usb.not-in-force", `set ${what} to ${wanted}: ${words(error)}`, { cause: error });
      });
    if (found !== wanted)
      throw new Fault(
        "usb.not-in-force",
        `set ${what} to ${wanted}: it reads ${found === undefined ? "nothing" : `"${found}"`} afterwards`,
      );
  };
  return {
    read: () => readTree(kernel),
    plugged: async () => {
      const names = (await namesIn(devices, ENTRIES_MAX)).filter((name) => CONTROLLER.test(name) || DEVICE.test(name));
      const numbers = await Promise.all(names.map((name) => readNumber(join(devices, name, "devnum"))));
      return names.map((name, n) => `${name}=${numbers[n] ?? ""}`).join(" ");
    },
    setDefault: async (controller, authorized) => {
      const path = join(devices, named(CONTROLLER, controller), "authorized_default");
      await put(`the default of "${controller}"`, path, DEFAULTS[authorized]);
    },
    setDevice: async (device, authorized) => {
      const folder = join(devices, named(DEVICE, device.port));
      const path = join(folder, "authorized");
      if (!authorized) return await put(`device "${device.port}"`, path, "0");
      await expectSame(device, await readDevice(kernel, device.port), "before it was authorized");
      await put(`device "${device.port}"`, path, "1");
      // authorizing reads its descriptors anew: a device that shows others now was let in for what it is not
      try {
        await expectSame(device, await readDevice(kernel, device.port), "once it was authorized");
      } catch (error) {
        await put(`device "${device.port}"`, path, "0");
        throw error;
      }
    },
    setPort: async (port, disabled) => {
      const folder = await portFolder(devices, port);
      if (folder === undefined) throw new Fault("usb.gone", `set port "${port}": no hub has it`);
      if (!(await namesIn(folder, HUB_ENTRIES_MAX)).includes("disable"))
        throw new Fault("usb.not-in-force", `set port "${port}": it can't be disabled; the switch needs Linux 6.0`);
      await put(`port "${port}"`, join(folder, "disable"), disabled ? "1" : "0");
    },
  };
}

async function readTree(kernel: Kernel): Promise<UsbState> {
  const { devices, last } = kernel;
  const names = await namesIn(devices, ENTRIES_MAX);
  const controllers = [];
  const ports: UsbPort[] = [];
  const found: UsbDevice[] = [];
  for (const name of names) {
    if (CONTROLLER.test(name)) {
      const authorizedDefault = await readNumber(join(devices, name, "authorized_default"));
      controllers.push({ name, authorizedDefault });
    } else if (DEVICE.test(name)) {
      const device = await readDevice(kernel, name);
      if (device !== undefined) found.push(device);
    } else continue;
    for (const folder of await portFolders(devices, name)) ports.push(await readPort(kernel, folder));
  }
  return (last.state = { controllers, ports, devices: found });
}

/** @returns undefined when it was unplugged meanwhile. */
async function readDevice(kernel: Kernel, port: string): Promise<UsbDevice | undefined> {
  const { devices, read, patience, last } = kernel;
  const folder = join(devices, port);
  const [number, authorized] = [await readNumber(join(folder, "devnum")), await readAttribute(join(folder, "authorized"))];
  if (number === undefined || authorized === undefined) return undefined;
  const facts = { port, number, authorized: authorized !== "0" }; // what is neither is taken for the worse
  try {
    return await patience.within(port, async () => {
      const bytes = await readDescriptors(join(folder, "descriptors"));
      const descriptors = createHash("sha256")
        .update(bytes ?? "none")
        .digest("hex");
      const claims = bytes === undefined ? undefined : claimsOf(bytes, await read(join(folder, "serial")));
      return { ...facts, descriptors, claims };
    });
  } catch (error) {
    // a hub, busy with what is plugged in there: under the same number it is still the same
    const before = last.state.devices.find((one) => one.port === port && one.number === number);
    if (before === undefined || !isUnreadable(error)) throw error;
    return { ...before, ...facts };
  }
}

function claimsOf(descriptors: Uint8Array, serial: string | undefined): UsbClaims | undefined {
  if (serial !== undefined && serial.length > SERIAL_CHARACTERS_MAX) return undefined;
  try {
    return { ...parseDescriptors(descriptors), serial };
  } catch (error) {
    if (error instanceof Fault && error.code === "usb.invalid") return undefined;
    throw error;
  }
}

/** @throws Fault `usb.gone`, `usb.changed`. */
async function expectSame(wanted: UsbDevice, found: UsbDevice | undefined, when: string): Promise<void> {
  if (found === undefined) throw new Fault("usb.gone", `authorize "${wanted.port}": it was unplugged`);
  const same =
    found.number === wanted.number && found.descriptors === wanted.descriptors && found.claims?.serial === wanted.claims?.serial;
  if (!same) throw new Fault("usb.changed", `authorize "${wanted.port}": it was another device ${when}`);
}

/** Folders of the ports that the hub `name` has. They lie in its first interface, whatever its configuration's number is. */
async function portFolders(devices: string, name: string): Promise<readonly string[]> {
  const hub = join(devices, name);
  const folders: string[] = [];
  for (const inner of await namesIn(hub, HUB_ENTRIES_MAX)) {
    if (!INTERFACE.test(inner)) continue;
    const ports = (await namesIn(join(hub, inner), HUB_ENTRIES_MAX)).filter((port) => portName(port) !== undefined);
    folders.push(...ports.map((port) => join(hub, inner, port)));
  }
  return folders;
}

async function portFolder(devices: string, port: string): Promise<string | undefined> {
  const [bus = "", path = ""] = named(DEVICE, port).split("-");
  const hub = path.includes(".") ? `${bus}-${path.slice(0, path.lastIndexOf("."))}` : `usb${bus}`;
  return (await portFolders(devices, hub)).find((folder) => portNameOf(folder) === port);
}

async function readPort({ devices, read, patience, last }: Kernel, folder: string): Promise<UsbPort> {
  const peer = await linkedName(join(folder, "peer"));
  const name = portNameOf(folder) ?? "";
  return { name, disabled: await isDisabled(), peer: peer === undefined ? undefined : portName(peer) };

  /** While the kernel is busy with the hub, as it was the last time: nobody but root changes it. */
  async function isDisabled(): Promise<boolean | undefined> {
    try {
      const text = await patience.within(nameBelow(devices, folder), () => read(join(folder, "disable")));
      return text === undefined ? undefined : text === "1";
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      return last.state.ports.find((port) => port.name === name)?.disabled;
    }
  }
}

function isUnreadable(error: unknown): boolean {
  return error instanceof Fault && error.code === "usb.unreadable";
}

/** Whose attribute it is: what lies directly below `devices` on the way to `path`. */
function nameBelow(devices: string, path: string): string {
  return path.slice(devices.length + 1).split("/")[0] ?? "";
}

function portNameOf(folder: string): string | undefined {
  return portName(folder.slice(folder.lastIndexOf("/") + 1));
}

/** `usb1-port2` is where `1-2` is plugged in, `1-1.2-port3` where `1-1.2.3` is. */
function portName(folder: string): string | undefined {
  const [, bus, hub, port] = PORT.exec(folder) ?? [];
  if (port === undefined) return undefined;
  return bus === undefined ? `${hub ?? ""}.${port}` : `${bus}-${port}`;
}

/** A name becomes a path: only ever one of the kernel's own form. */
function named(pattern: RegExp, name: string): string {
  if (pattern.test(name)) return name;
  throw new Fault("usb.gone", `find "${name.slice(0, 40)}" in the USB tree: no name of the kernel's form`);
}

function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
