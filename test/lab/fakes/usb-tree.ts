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
  /** What the kernel shows instead of descriptors that follow from these claims. */
  readonly raw?: Uint8Array;
}

/**
 * The configuration ends seven bytes before its wTotalLength: `usb_get_configuration` of
 * drivers/usb/core/config.c takes what came and warns.
 */
export const SHORT_STICK: Plugged = {
  vendor: "1209",
  product: "0001",
  serial: "short",
  interfaces: ["02:02:01", "0a:00:00"],
  raw: Buffer.from(
    [
      "120100020200004009120100000101020301", // the device
      "090243000201008032", // a configuration of 67 bytes, of which 60 are there
      "090400000102020100", // an interface
      "05240010010524010001042402020524060001",
      "070582030800ff09040100020a000000070501024000",
    ].join(""),
    "hex",
  ),
};

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
  addController(bus: number, ports: number, authorizedDefault?: string): void;
  /** The kernel sees a new device at `port`: `1-2`, `1-1.3`. A hub gets ports. */
  plug(port: string, device: Plugged, ports?: number): void;
  unplug(port: string): void;
  /** A new boot: everything is authorized again, as Linux does by default. */
  powerOn(): void;
  joinPorts(one: string, other: string): void;
  read(path: string): string;
  /** Runs during the next write to this attribute, after it took effect. */
  onWrite(path: string, act: () => void): void;
}

/** The place of the controllers, as in QEMU. */
const CONTROLLERS = "sys/devices/pci0000:00/0000:00:04.0";

/**
 * Builds below `root` what /sys/bus/usb/devices shows: links to nested folders.
 * test/contract/usb-kernel.test.ts compares it with a real one.
 */
export function fakeKernel(root: string): FakeKernel {
  return new FakeUsbKernel(root);
}

class FakeUsbKernel implements FakeKernel {
  readonly root: string;
  readonly #devices: string;
  readonly #controllers: string;
  readonly #hooks = new Map<string, () => void>();
  /** The number of ports, by the port at which a hub is. */
  readonly #hubs = new Map<string, number>();
  #number = 1;

  constructor(root: string) {
    this.root = root;
    this.#devices = join(root, "sys/bus/usb/devices");
    this.#controllers = join(root, CONTROLLERS);
    for (const folder of [this.#devices, this.#controllers]) mkdirSync(folder, { recursive: true });
  }

  read(path: string): string {
    return readFileSync(join(this.#devices, path), "utf8").replace(/\n$/u, "");
  }

  /** A property, because a driver is given it as a function. */
  readonly write = async (path: string, value: string): Promise<void> => {
    if (!existsSync(path)) throw Object.assign(new Fault("assert.broken", `ENOENT: ${path}`), { code: "ENOENT" });
    const [attribute, folder] = [basename(path), dirname(path)];
    // drivers/usb/core/hcd.c
    const stored = attribute === "authorized_default" && !["0", "1", "2"].includes(value) ? "1" : value;
    writeFileSync(path, `${stored}\n`);
    const port = basename(folder);
    if (attribute === "authorized" && value === "1") this.#addInterfaces(port);
    if (attribute === "authorized" && value === "0") this.#remove((name) => behind(port, name) || ownerOf(name) === port);
    const lost = /^(?:usb(\d+)|(.+))-port(\d+)$/u.exec(port);
    if (attribute === "disable" && value === "1" && lost !== null)
      this.unplug(lost[1] === undefined ? `${lost[2]}.${lost[3]}` : `${lost[1]}-${lost[3]}`);
    const hook = this.#hooks.get(path);
    this.#hooks.delete(path);
    hook?.();
  };

  addController(bus: number, ports: number, authorizedDefault = "1"): void {
    this.#put(`usb${bus}/authorized_default`, authorizedDefault);
    this.#put(`usb${bus}/authorized`, "1");
    this.#put(`usb${bus}/devnum`, "1");
    this.#addPorts(`${bus}-0:1.0`, `usb${bus}`, ports);
  }

  plug(port: string, device: Plugged, ports = 0): void {
    const allowed = this.read(`usb${port.split("-")[0]}/authorized_default`) === "1";
    this.#put(`${port}/devnum`, String((this.#number += 1)));
    this.#put(`${port}/descriptors`, device.raw ?? descriptorsOf(device));
    if (device.serial !== undefined) this.#put(`${port}/serial`, device.serial);
    this.#put(`${port}/authorized`, allowed ? "1" : "0");
    this.#hubs.set(port, ports);
    if (allowed) this.#addInterfaces(port);
  }

  unplug(port: string): void {
    this.#remove((name) => name === port || behind(port, name) || ownerOf(name) === port);
  }

  powerOn(): void {
    for (const name of readdirSync(this.#devices)) {
      const isController = name.startsWith("usb");
      if (!isController && !existsSync(join(this.#devices, name, "descriptors"))) continue;
      this.#put(`${name}/${isController ? "authorized_default" : "authorized"}`, "1");
      if (!isController) this.#addInterfaces(name);
    }
    for (const path of readdirSync(this.#controllers, { recursive: true, encoding: "utf8" }))
      if (path.endsWith("/disable")) writeFileSync(join(this.#controllers, path), "0\n");
  }

  joinPorts(one: string, other: string): void {
    const folder = (port: string): string => {
      const [bus, n] = port.split("-");
      return join(this.#home(`${bus}-0:1.0`), `usb${bus}-port${n}`);
    };
    symlinkSync(relative(folder(one), folder(other)), join(folder(one), "peer"));
    symlinkSync(relative(folder(other), folder(one)), join(folder(other), "peer"));
  }

  onWrite(path: string, act: () => void): void {
    this.#hooks.set(join(this.#devices, path), act);
  }

  /** The folder of a device or an interface, within that of its hub or its device. */
  #home(name: string): string {
    const owner = ownerOf(name);
    if (owner !== undefined) return join(this.#home(owner), name);
    return name.startsWith("usb") ? join(this.#controllers, name) : join(this.#home(hubOf(name)), name);
  }

  #add(name: string): void {
    mkdirSync(this.#home(name), { recursive: true });
    const link = join(this.#devices, name);
    if (!existsSync(link)) symlinkSync(relative(this.#devices, this.#home(name)), link);
  }

  #remove(isGone: (name: string) => boolean): void {
    for (const name of readdirSync(this.#devices).filter(isGone)) {
      rmSync(this.#home(name), { recursive: true, force: true });
      rmSync(join(this.#devices, name));
    }
  }

  #put(path: string, content: string | Uint8Array): void {
    const [name = "", ...rest] = path.split("/");
    this.#add(name);
    const file = join(this.#home(name), ...rest);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, typeof content === "string" ? `${content}\n` : content);
  }

  #addPorts(inner: string, name: string, ports: number): void {
    for (let n = 1; n <= ports; n++) {
      this.#put(`${inner}/${name}-port${n}/disable`, "0");
      this.#put(`${inner}/${name}-port${n}/connect_type`, "hotplug");
    }
  }

  #addInterfaces(port: string): void {
    const count = readFileSync(join(this.#devices, port, "descriptors"))[22] ?? 1;
    for (let n = 0; n < count; n++) this.#add(`${port}:1.${n}`);
    // The hub driver makes the ports of a hub.
    this.#addPorts(`${port}:1.0`, port, this.#hubs.get(port) ?? 0);
  }
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
