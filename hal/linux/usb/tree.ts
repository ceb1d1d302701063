// The USB tree in sysfs: Documentation/usb/authorization.rst,
// Documentation/ABI/testing/sysfs-bus-usb. [LCK-7] [LCK-8] [LCK-9]
import { basename, join } from "node:path";
import { asFault, Fault } from "../../fault.ts";
import type { UsbDevice, UsbState, UsbTree } from "../../ports.ts";
import { isGone, namesIn, type ReadAttribute, readAttribute, writeAttribute } from "./attributes.ts";
import { type BoundedAccess, createBoundedAccess } from "./bounded-access.ts";
import {
  deviceKey,
  deviceNumber,
  inspectDevice,
  isDisabled,
  type LastKnownTree,
  portFolders,
  portKey,
  readTree,
  type UsbSysfs,
} from "./inspect.ts";
import { createLastKnown } from "./last-known.ts";
import { ENTRIES_MAX, HUB_ENTRIES_MAX, KERNEL_MS_MAX, STUCK_CALLS_MAX, STUCK_SHUTS_MAX } from "./limits.ts";
import { CONTROLLER, DEVICE, hubOf, requireName, portName } from "./names.ts";

export interface UsbTreeOptions {
  /** `/`, or a folder that looks like the kernel's view. */
  readonly root: string;
  /** Writes one attribute. For a simulated kernel. */
  readonly write?: WriteAttribute;
  /** Reads one attribute, any but `descriptors`, which is not text. */
  readonly read?: ReadAttribute;
  /** Time limit of one call. */
  readonly waitMs?: number;
}

type WriteAttribute = (path: string, value: string) => Promise<void>;

/** One attribute and the value it must have. */
interface Setting {
  /** What is set, for messages. */
  readonly what: string;
  readonly path: string;
  readonly value: string;
}

/**
 * [LCK-7] sysfs.c: `dev_policy = val <= USB_DEVICE_AUTHORIZE_INTERNAL ? val :
 * USB_DEVICE_AUTHORIZE_ALL`: the kernel stores any other number as "all", without an error. So a
 * value is written by its name only, and "all" (1) has no name here.
 */
const DEFAULTS = { none: "0", hardwired: "2" } as const;

export function linuxUsbTree(options: UsbTreeOptions): UsbTree {
  return new LinuxUsbTree(options);
}

class LinuxUsbTree implements UsbTree {
  readonly #sysfs: UsbSysfs;
  readonly #write: WriteAttribute;
  /** For shutting a device out while other calls hang. */
  readonly #reserve: BoundedAccess;
  readonly #lastKnown: LastKnownTree = { appearances: createLastKnown(), switches: createLastKnown() };

  constructor({ root, write = writeAttribute, read = readAttribute, waitMs = KERNEL_MS_MAX }: UsbTreeOptions) {
    const bounded = createBoundedAccess(waitMs, STUCK_CALLS_MAX);
    this.#sysfs = { devices: join(root, "sys/bus/usb/devices"), read, bounded };
    this.#write = write;
    this.#reserve = createBoundedAccess(waitMs, STUCK_SHUTS_MAX);
  }

  read(): Promise<UsbState> {
    return readTree(this.#sysfs, this.#lastKnown);
  }

  async plugged(): Promise<string> {
    const all = await namesIn(this.#sysfs.devices, ENTRIES_MAX);
    const names = all.filter((name) => CONTROLLER.test(name) || DEVICE.test(name));
    const numbers = await Promise.all(names.map((name) => deviceNumber(this.#sysfs, name)));
    return names.map((name, n) => `${name}=${numbers[n] ?? ""}`).join(" ");
  }

  /**
   * [LCK-7] Not bounded in time: authorized_default_store of sysfs.c takes no lock, so no stick can
   * keep a new controller open.
   */
  async setDefault(controller: string, authorized: "none" | "hardwired"): Promise<void> {
    const path = join(this.#sysfs.devices, requireName(CONTROLLER, controller), "authorized_default");
    const setting = { what: `the default of "${controller}"`, path, value: DEFAULTS[authorized] };
    await setInForce(setting, () => this.#writeAndRead(setting));
  }

  setDevice(device: UsbDevice, authorized: boolean): Promise<void> {
    return authorized ? this.#authorize(device) : this.#shutOut(device);
  }

  async setPort(port: string, disabled: boolean): Promise<void> {
    const { devices, bounded } = this.#sysfs;
    const hub = hubOf(requireName(DEVICE, port));
    const folder = (await portFolders(devices, hub)).find((one) => portName(basename(one)) === port);
    if (folder === undefined) throw new Fault("usb.gone", `set port "${port}": no hub has it`);
    if (!(await namesIn(folder, HUB_ENTRIES_MAX)).includes("disable"))
      throw new Fault("usb.not-in-force", `set port "${port}": it cannot be disabled; the switch needs Linux 6.0`);
    const key = portKey(hub, await deviceNumber(this.#sysfs, hub), port);
    const setting = { what: `port "${port}"`, path: join(folder, "disable"), value: disabled ? "1" : "0" };
    await setInForce(setting, () =>
      bounded.run(hub, async () => {
        const found = await this.#writeAndRead(setting);
        this.#lastKnown.switches.set(key, isDisabled(found));
        return found;
      }),
    );
  }

  async #writeAndRead({ path, value }: Setting): Promise<string | undefined> {
    await this.#write(path, value);
    return await this.#sysfs.read(path);
  }

  #authorization(port: string, value: "0" | "1"): Setting {
    return { what: `device "${port}"`, path: join(this.#sysfs.devices, requireName(DEVICE, port), "authorized"), value };
  }

  /** Tried even while calls hang here or elsewhere: the kernel does it once it can. */
  async #shutOut({ port }: UsbDevice): Promise<void> {
    const { bounded } = this.#sysfs;
    const access = bounded.isFree(port) ? bounded : this.#reserve;
    const setting = this.#authorization(port, "0");
    await setInForce(setting, () => access.run(port, () => this.#writeAndRead(setting)));
  }

  async #authorize(device: UsbDevice): Promise<void> {
    const setting = this.#authorization(device.port, "1");
    expectSame(device, await inspectDevice(this.#sysfs, device.port), "before it was authorized");
    try {
      const inspectLater = (): Promise<void> => this.#inspectAgain(device);
      await setInForce(setting, () => this.#sysfs.bounded.run(device.port, () => this.#writeAndRead(setting), inspectLater));
    } catch (error) {
      const isBusy = error instanceof Fault && error.cause instanceof Fault && error.cause.code === "usb.busy";
      if (isBusy) throw error; // if the kernel still does it, the device is inspected then
      // usb_authorize_device in hub.c may let it in and still fail the write
      await this.#shutOutFor(device, error);
    }
    await this.#inspectAgain(device);
  }

  /**
   * [LCK-32] The kernel reads descriptors anew when it authorizes. A device that shows other ones
   * now, or does not answer, was let in for something it is not, and is shut out.
   */
  async #inspectAgain(device: UsbDevice): Promise<void> {
    try {
      expectSame(device, await inspectDevice(this.#sysfs, device.port), "once it was authorized");
    } catch (error) {
      await this.#shutOutFor(device, error);
    }
  }

  /**
   * Shuts the device out because of `error`, then throws `error`. Its last known appearance is
   * forgotten, because it may show another one now.
   */
  async #shutOutFor(device: UsbDevice, error: unknown): Promise<never> {
    this.#lastKnown.appearances.forget(deviceKey(device));
    await this.#shutOut(device).catch((failure: unknown) => {
      if (failure instanceof Fault && failure.code === "usb.gone") return;
      const { code, message } = asFault(error, "assert.broken", `authorize "${device.port}"`);
      throw new Fault(code, `${message}; and it may still be let in: ${messageOf(failure)}`, { cause: failure });
    });
    throw error;
  }
}

/**
 * Expects that `change` puts `setting` in force. A value that does not read back is a fault, even
 * when the write succeeded.
 * @param change writes the attribute and reads it back.
 * @throws Fault `usb.gone`, `usb.not-in-force`.
 */
async function setInForce({ what, path, value }: Setting, change: () => Promise<string | undefined>): Promise<void> {
  const found = await change().catch((error: unknown) => {
    if (isGone(error)) throw new Fault("usb.gone", `set ${what} to ${value}: "${path}" does not exist`, { cause: error });
    throw new Fault("usb.not-in-force", `set ${what} to ${value}: ${messageOf(error)}`, { cause: error });
  });
  if (found !== value)
    throw new Fault(
      "usb.not-in-force",
      `set ${what} to ${value}: it reads ${found === undefined ? "nothing" : `"${found}"`} afterwards`,
    );
}

/** @throws Fault `usb.gone`, `usb.changed`. */
function expectSame(expected: UsbDevice, found: UsbDevice | undefined, when: string): void {
  if (found === undefined) throw new Fault("usb.gone", `authorize "${expected.port}": it was unplugged`);
  const same =
    found.number === expected.number &&
    found.descriptors === expected.descriptors &&
    found.claims?.serial === expected.claims?.serial;
  if (!same) throw new Fault("usb.changed", `authorize "${expected.port}": it was another device ${when}`);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
