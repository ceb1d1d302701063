// What sysfs shows of the USB tree. Only `serial`, `disable` and, on some kernels, `descriptors` wait for anything: all else is there at once. [LCK-8] [LCK-9]
import { createHash } from "node:crypto";
import { basename, join } from "node:path";
import { Fault } from "../../fault.ts";
import type { UsbClaims, UsbController, UsbDevice, UsbPort, UsbState } from "../../ports.ts";
import { linkedName, namesIn, type ReadAttribute, readDescriptors, readNumber } from "./attributes.ts";
import { parseDescriptors } from "./descriptors.ts";
import { ENTRIES_MAX, HUB_ENTRIES_MAX, SERIAL_CHARACTERS_MAX } from "./limits.ts";
import type { Memory } from "./memory.ts";
import { CONTROLLER, DEVICE, INTERFACE, portName } from "./names.ts";
import type { BoundedAccess } from "./bounded-access.ts";

/** How the kernel is asked. */
export interface Kernel {
  readonly devices: string;
  readonly read: ReadAttribute;
  readonly patience: BoundedAccess;
}

/** What it said, by device and by port. */
export interface Memories {
  readonly faces: Memory<Face>;
  readonly switches: Memory<boolean | undefined>;
}

type Face = Pick<UsbDevice, "descriptors" | "claims">;

/** All there is. What the kernel is too busy to say is as it said the last time, or is not known. */
export async function readTree(kernel: Kernel, { faces, switches }: Memories): Promise<UsbState> {
  const { devices, read } = kernel;
  const controllers: UsbController[] = [];
  const ports: UsbPort[] = [];
  const found: UsbDevice[] = [];
  const seen = new Set<string>();
  const readPorts = async (hub: string, number: number | undefined): Promise<void> => {
    for (const folder of await portFolders(devices, hub)) {
      const [name, peer] = [portName(basename(folder)) ?? "", await linkedName(join(folder, "peer"))];
      const key = portKey(hub, number, name);
      seen.add(key);
      const disabled = await switches.ask(key, () => switchAt(kernel, hub, folder));
      ports.push({ name, disabled, peer: peer === undefined ? undefined : portName(peer) });
    }
  };
  for (const name of await namesIn(devices, ENTRIES_MAX)) {
    if (CONTROLLER.test(name)) {
      controllers.push({ name, authorizedDefault: await readNumber(read, join(devices, name, "authorized_default")) });
      await readPorts(name, await numberOf(kernel, name));
    } else if (DEVICE.test(name)) {
      const facts = await factsOf(kernel, name);
      if (facts === undefined) continue;
      const key = deviceKey(facts);
      seen.add(key);
      const face = await faces.ask(key, () => faceOf(kernel, name));
      found.push({ ...facts, ...(face ?? faceFrom(undefined, undefined)) });
      await readPorts(name, facts.number);
    }
  }
  for (const memory of [faces, switches]) memory.forgetOthers(seen);
  return { controllers, ports, devices: found };
}

/** A device as the kernel says now that it is, never as it was. @returns undefined when it is unplugged. @throws Fault `usb.busy`, `usb.unreadable`. */
export async function inspectDevice(kernel: Kernel, port: string): Promise<UsbDevice | undefined> {
  const facts = await factsOf(kernel, port);
  return facts === undefined ? undefined : { ...facts, ...(await faceOf(kernel, port)) };
}

/** Under the same number it is the same device: the kernel gives each the next one. */
export function deviceKey({ port, number }: Pick<UsbDevice, "port" | "number">): string {
  return `${port}=${number}`;
}

/** Another hub in the place of one has other switches, under the same names. */
export function portKey(hub: string, number: number | undefined, port: string): string {
  return `${hub}=${number ?? ""} ${port}`;
}

/** The kernel's number of a device or controller. */
export async function numberOf({ devices, read }: Kernel, name: string): Promise<number | undefined> {
  return await readNumber(read, join(devices, name, "devnum"));
}

/** What `disable` of a port says; undefined when there is no such attribute. */
export function isDisabled(text: string | undefined): boolean | undefined {
  return text === undefined ? undefined : text === "1";
}

/** Folders of the ports that the hub `name` has. They lie in its first interface, whatever its configuration's number is. */
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

/** @returns undefined when it was unplugged meanwhile. */
async function factsOf(kernel: Kernel, port: string): Promise<Omit<UsbDevice, keyof Face> | undefined> {
  const [number, authorized] = [await numberOf(kernel, port), await kernel.read(join(kernel.devices, port, "authorized"))];
  if (number === undefined || authorized === undefined) return undefined;
  return { port, number, authorized: authorized !== "0" }; // what is neither is taken for the worse
}

async function faceOf({ devices, read, patience }: Kernel, port: string): Promise<Face> {
  const folder = join(devices, port);
  return await patience.within(port, async () =>
    faceFrom(await readDescriptors(join(folder, "descriptors")), await read(join(folder, "serial"))),
  );
}

function faceFrom(bytes: Uint8Array | undefined, serial: string | undefined): Face {
  const descriptors = createHash("sha256")
    .update(bytes ?? "none")
    .digest("hex");
  return { descriptors, claims: bytes === undefined ? undefined : claimsOf(bytes, serial) };
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

async function switchAt({ read, patience }: Kernel, hub: string, folder: string): Promise<boolean | undefined> {
  return isDisabled(await patience.within(hub, () => read(join(folder, "disable"))));
}
