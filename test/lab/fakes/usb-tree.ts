// A USB tree as a folder, with a fake kernel that reacts to writes as Linux does: unknown defaults
// mean "all", authorizing makes interfaces, and a disabled port loses its device.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { Fault } from "../../../hal/fault.ts";
import type { UsbDevice, UsbPort, UsbState, UsbTree } from "../../../hal/ports.ts";

export interface Plugged {
  readonly vendor: string;
  readonly product: string;
  readonly serial?: string;
  /** `class:subclass:protocol`, one interface each. */
  readonly interfaces: readonly string[];
}

export const STICK: Plugged = { vendor: "0951", product: "1666", serial: "60A44C413FAE", interfaces: ["08:06:50"] };
export const KEYBOARD: Plugged = { vendor: "046d", product: "c31c", interfaces: ["03:00:00", "03:01:01"] };
/** A stick that types: the classic attack (BadUSB). */
export const BAD_STICK: Plugged = { ...STICK, interfaces: ["03:01:01", "08:06:50"] };
export const HUB: Plugged = { vendor: "05e3", product: "0608", interfaces: ["09:00:00"] };

export interface FakeKernel {
  readonly root: string;
  /** What sysfs does at a write. */
  readonly write: (path: string, value: string) => Promise<void>;
  /** A controller with its ports; two with `peers` share their sockets. */
  readonly addController: (bus: number, ports: number, authorizedDefault?: string) => void;
  /** The kernel sees a new device at `port`: `1-2`, `1-1.3`. A hub gets ports. */
  readonly plug: (port: string, device: Plugged, ports?: number) => void;
  readonly unplug: (port: string) => void;
  /** A new boot: everything is authorized again, as Linux does by default. */
  readonly powerOn: () => void;
  readonly joinPorts: (one: string, other: string) => void;
  readonly read: (path: string) => string;
  /** Runs during the next write to this attribute, after it took effect. */
  readonly onWrite: (path: string, act: () => void) => void;
}

/** The place of the controllers, as in QEMU. */
const CONTROLLERS = "sys/devices/pci0000:00/0000:00:04.0";

/**
 * Builds below `root` what /sys/bus/usb/devices shows: links to nested folders.
 * test/contract/usb-kernel.test.ts compares it with a real one.
 */
export function fakeKernel(root: string): FakeKernel {
  const devices = join(root, "sys/bus/usb/devices");
  const controllers = join(root, CONTROLLERS);
  for (const folder of [devices, controllers]) mkdirSync(folder, { recursive: true });
  const hooks = new Map<string, () => void>();
  const hubs = new Map<string, number>();
  let number = 1;
  const home = (name: string): string => {
    const owner = ownerOf(name);
    if (owner !== undefined) return join(home(owner), name);
    return name.startsWith("usb") ? join(controllers, name) : join(home(hubOf(name)), name);
  };
  const appear = (name: string): void => {
    mkdirSync(home(name), { recursive: true });
    const link = join(devices, name);
    if (!existsSync(link)) symlinkSync(relative(devices, home(name)), link);
  };
  const put = (path: string, content: string | Uint8Array): void => {
    const [name = "", ...rest] = path.split("/");
    appear(name);
    const file = join(home(name), ...rest);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, typeof content === "string" ? `${content}\n` : content);
  };
  const read = (path: string): string => readFileSync(join(devices, path), "utf8").replace(/\n$/u, "");
  const addPorts = (inner: string, name: string, ports: number): void => {
    for (let n = 1; n <= ports; n++) {
      put(`${inner}/${name}-port${n}/disable`, "0");
      put(`${inner}/${name}-port${n}/connect_type`, "hotplug");
    }
  };
  const disappear = (isGone: (name: string) => boolean): void => {
    for (const name of readdirSync(devices).filter(isGone)) {
      rmSync(home(name), { recursive: true, force: true });
      rmSync(join(devices, name));
    }
  };
  const unplug = (port: string): void => disappear((name) => name === port || behind(port, name) || ownerOf(name) === port);
  const interfacesOf = (port: string): void => {
    const count = readFileSync(join(devices, port, "descriptors"))[22] ?? 1;
    for (let n = 0; n < count; n++) appear(`${port}:1.${n}`);
    addPorts(`${port}:1.0`, port, hubs.get(port) ?? 0); // The hub driver makes them.
  };
  const write = async (path: string, value: string): Promise<void> => {
    if (!existsSync(path)) throw Object.assign(new Fault("assert.broken", `ENOENT: ${path}`), { code: "ENOENT" });
    const [attribute, folder] = [basename(path), dirname(path)];
    // drivers/usb/core/hcd.c
    const stored = attribute === "authorized_default" && !["0", "1", "2"].includes(value) ? "1" : value;
    writeFileSync(path, `${stored}\n`);
    const port = basename(folder);
    if (attribute === "authorized" && value === "1") interfacesOf(port);
    if (attribute === "authorized" && value === "0") disappear((name) => behind(port, name) || ownerOf(name) === port);
    const lost = /^(?:usb(\d+)|(.+))-port(\d+)$/u.exec(port);
    if (attribute === "disable" && value === "1" && lost !== null)
      unplug(lost[1] === undefined ? `${lost[2]}.${lost[3]}` : `${lost[1]}-${lost[3]}`);
    const hook = hooks.get(path);
    hooks.delete(path);
    hook?.();
  };
  return {
    root,
    write,
    read,
    unplug,
    addController: (bus, ports, authorizedDefault = "1") => {
      put(`usb${bus}/authorized_default`, authorizedDefault);
      put(`usb${bus}/authorized`, "1");
      put(`usb${bus}/devnum`, "1");
      addPorts(`${bus}-0:1.0`, `usb${bus}`, ports);
    },
    plug: (port, device, ports = 0) => {
      const allowed = read(`usb${port.split("-")[0]}/authorized_default`) === "1";
      put(`${port}/devnum`, String((number += 1)));
      put(`${port}/descriptors`, descriptorsOf(device));
      if (device.serial !== undefined) put(`${port}/serial`, device.serial);
      put(`${port}/authorized`, allowed ? "1" : "0");
      hubs.set(port, ports);
      if (allowed) interfacesOf(port);
    },
    powerOn: () => {
      for (const name of readdirSync(devices)) {
        const isController = name.startsWith("usb");
        if (!isController && !existsSync(join(devices, name, "descriptors"))) continue;
        put(`${name}/${isController ? "authorized_default" : "authorized"}`, "1");
        if (!isController) interfacesOf(name);
      }
      for (const path of readdirSync(controllers, { recursive: true, encoding: "utf8" }))
        if (path.endsWith("/disable")) writeFileSync(join(controllers, path), "0\n");
    },
    joinPorts: (one, other) => {
      const folder = (port: string): string => {
        const [bus, n] = port.split("-");
        return join(home(`${bus}-0:1.0`), `usb${bus}-port${n}`);
      };
      symlinkSync(relative(folder(one), folder(other)), join(folder(one), "peer"));
      symlinkSync(relative(folder(other), folder(one)), join(folder(other), "peer"));
    },
    onWrite: (path, act) => void hooks.set(join(devices, path), act),
  };
}

/** The owner of an interface: `1-2:1.0` is of `1-2`, `1-0:1.0` of `usb1`. A device has none. */
function ownerOf(name: string): string | undefined {
  const [device = "", configuration] = name.split(":");
  if (configuration === undefined) return undefined;
  return device.endsWith("-0") ? `usb${device.slice(0, -2)}` : device;
}

function hubOf(port: string): string {
  return port.includes(".") ? port.slice(0, port.lastIndexOf(".")) : `usb${port.split("-")[0]}`;
}

/** The devices at a hub, and their interfaces. */
function behind(hub: string, name: string): boolean {
  return name.startsWith(`${hub}.`);
}

/** USB 2.0 specification, section 9.6: a device descriptor and one configuration. */
export function descriptorsOf({ vendor, product, interfaces }: Plugged): Uint8Array {
  const hex = (text: string): readonly number[] => [...Buffer.from(text.replaceAll(":", ""), "hex")];
  const configuration = interfaces.flatMap((triple, n) => {
    const [one, endpoint] = [
      [9, 4, n, 0, 1, ...hex(triple), 0],
      [7, 5, 0x81 + n, 3, 8, 0, 10],
    ];
    return [...one, ...endpoint];
  });
  const total = 9 + configuration.length;
  const le = (word: string): readonly number[] => hex(word).toReversed();
  const head = [18, 1, 0, 2, 0, 0, 0, 64, ...le(vendor), ...le(product), 0, 1, 1, 2, 3, 1];
  return Uint8Array.from([...head, 9, 2, total & 0xff, total >> 8, interfaces.length, 1, 0, 0x80, 50, ...configuration]);
}

export interface FakeUsbTree extends UsbTree {
  state: UsbState;
  /** Makes every call fail from now on. */
  failAlways(fault: Fault | undefined): void;
}

/** A tree in memory; test/contract runs one suite on it and on sysfs. */
export function fakeUsbTree(state: UsbState): FakeUsbTree {
  let broken: Fault | undefined;
  const meet = (found: unknown, name: string): void => {
    if (broken !== undefined) throw broken;
    if (found === undefined) throw new Fault("usb.gone", `"${name}" is not there`);
  };
  const fake: FakeUsbTree = {
    state,
    failAlways: (fault) => {
      broken = fault;
    },
    read: async () => {
      meet(fake.state, "the tree");
      return fake.state;
    },
    plugged: async () => {
      meet(fake.state, "the tree");
      const { controllers, devices } = fake.state;
      return [...controllers.map(({ name }) => name), ...devices.map(({ port, number }) => `${port}=${number}`)].join(" ");
    },
    setDefault: async (controller, authorized) => {
      meet(
        fake.state.controllers.find(({ name }) => name === controller),
        controller,
      );
      const controllers = fake.state.controllers.map((one) =>
        one.name === controller ? { ...one, authorizedDefault: authorized === "none" ? 0 : 2 } : one,
      );
      fake.state = { ...fake.state, controllers };
    },
    setDevice: async (device, authorized) => {
      const found = fake.state.devices.find(({ port }) => port === device.port);
      meet(found, device.port);
      if (authorized && (found?.number !== device.number || found.descriptors !== device.descriptors))
        throw new Fault("usb.changed", `"${device.port}" is another device`);
      const devices = fake.state.devices.map((one): UsbDevice => (one.port === device.port ? { ...one, authorized } : one));
      fake.state = { ...fake.state, devices };
    },
    setPort: async (port, disabled) => {
      const found = fake.state.ports.find(({ name }) => name === port);
      meet(found, port);
      if (found?.disabled === undefined) throw new Fault("usb.not-in-force", `"${port}" can't be disabled`);
      const ports = fake.state.ports.map((one): UsbPort => (one.name === port ? { ...one, disabled } : one));
      const devices = disabled
        ? fake.state.devices.filter((one) => one.port !== port && !one.port.startsWith(`${port}.`))
        : fake.state.devices;
      fake.state = { ...fake.state, ports, devices };
    },
  };
  return fake;
}
