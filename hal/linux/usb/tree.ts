// The USB tree in sysfs: Documentation/usb/authorization.rst, Documentation/ABI/testing/sysfs-bus-usb. [LCK-7] [LCK-8] [LCK-9]
import { basename, join } from "node:path";
import { asFault, Fault } from "../../fault.ts";
import type { UsbDevice, UsbTree } from "../../ports.ts";
import { isGone, namesIn, type ReadAttribute, readAttribute, writeAttribute } from "./attributes.ts";
import { ENTRIES_MAX, HUB_ENTRIES_MAX, KERNEL_MS_MAX, STUCK_CALLS_MAX, STUCK_SHUTS_MAX } from "./limits.ts";
import {
  deviceKey,
  isDisabled,
  type Kernel,
  inspectDevice,
  type Memories,
  numberOf,
  portFolders,
  portKey,
  readTree,
} from "./inspect.ts";
import { createMemory } from "./memory.ts";
import { CONTROLLER, DEVICE, hubOf, named, portName } from "./names.ts";
import { createBoundedAccess } from "./bounded-access.ts";

export interface UsbTreeOptions {
  /** `/`, or a folder that looks like the kernel's view. */
  readonly root: string;
  /** Writes one attribute: another way for a simulated kernel. */
  readonly write?: (path: string, value: string) => Promise<void>;
  /** Reads one: all but `descriptors`, which are no text. */
  readonly read?: ReadAttribute;
  /** How long one call may take. */
  readonly waitMs?: number;
}

/**
 * [LCK-7] sysfs.c: `dev_policy = val <= USB_DEVICE_AUTHORIZE_INTERNAL ? val : USB_DEVICE_AUTHORIZE_ALL`: any other number is stored as "all", without an error. So
 * a value is written by its name only, and "all" (1) has none here.
 */
const DEFAULTS = { none: "0", hardwired: "2" } as const;

/** Writes and reads back. */
type Setting = () => Promise<string | undefined>;

export function linuxUsbTree(options: UsbTreeOptions): UsbTree {
  const { root, write = writeAttribute, read = readAttribute, waitMs = KERNEL_MS_MAX } = options;
  const devices = join(root, "sys/bus/usb/devices");
  const patience = createBoundedAccess(waitMs, STUCK_CALLS_MAX);
  const reserve = createBoundedAccess(waitMs, STUCK_SHUTS_MAX);
  const kernel: Kernel = { devices, read, patience };
  const memories: Memories = { faces: createMemory(), switches: createMemory() };

  /** A value that is not in force afterwards is a fault, whatever the write said. */
  const put = async (
    what: string,
    path: string,
    wanted: string,
    how: (set: Setting) => ReturnType<Setting> = (set) => set(),
  ): Promise<void> => {
    const found = await how(async () => {
      await write(path, wanted);
      return await read(path);
    }).catch((error: unknown) => {
      if (isGone(error)) throw new Fault("usb.gone", `set ${what} to ${wanted}: "${path}" is not there`, { cause: error });
      throw new Fault("usb.not-in-force", `set ${what} to ${wanted}: ${words(error)}`, { cause: error });
    });
    if (found !== wanted)
      throw new Fault(
        "usb.not-in-force",
        `set ${what} to ${wanted}: it reads ${found === undefined ? "nothing" : `"${found}"`} afterwards`,
      );
  };

  const authorizedOf = (port: string): string => join(devices, named(DEVICE, port), "authorized");

  /** What hangs there or elsewhere does not keep this from being tried: the kernel does it once it can. */
  const shutOut = async ({ port }: UsbDevice): Promise<void> => {
    const calls = patience.isFree(port) ? patience : reserve;
    await put(`device "${port}"`, authorizedOf(port), "0", (set) => calls.within(port, set));
  };

  /** Throws `error`, once the device is shut out for it. What was known of it is not, as it may show another face now. */
  const shutOutFor = async (device: UsbDevice, error: unknown): Promise<never> => {
    memories.faces.forget(deviceKey(device));
    await shutOut(device).catch((failed: unknown) => {
      if (failed instanceof Fault && failed.code === "usb.gone") return;
      const { code, message } = asFault(error, "assert.broken", `authorize "${device.port}"`);
      throw new Fault(code, `${message}; and it may still be let in: ${words(failed)}`, { cause: failed });
    });
    throw error;
  };

  /** [LCK-8] Authorizing reads descriptors anew: a device that shows others now, or no answer, was let in for what it is not. */
  const lookAgain = async (device: UsbDevice): Promise<void> => {
    try {
      expectSame(device, await inspectDevice(kernel, device.port), "once it was authorized");
    } catch (error) {
      await shutOutFor(device, error);
    }
  };

  const letIn = async (device: UsbDevice): Promise<void> => {
    const path = authorizedOf(device.port);
    expectSame(device, await inspectDevice(kernel, device.port), "before it was authorized");
    try {
      const late = (): Promise<void> => lookAgain(device);
      await put(`device "${device.port}"`, path, "1", (set) => patience.within(device.port, set, late));
    } catch (error) {
      const isBusy = error instanceof Fault && error.cause instanceof Fault && error.cause.code === "usb.busy";
      if (isBusy) throw error; // looked at once it happened, if it does
      await shutOutFor(device, error); // usb_authorize_device in hub.c: it may be let in though the write failed
    }
    await lookAgain(device);
  };

  return {
    read: () => readTree(kernel, memories),
    plugged: async () => {
      const names = (await namesIn(devices, ENTRIES_MAX)).filter((name) => CONTROLLER.test(name) || DEVICE.test(name));
      const numbers = await Promise.all(names.map((name) => numberOf(kernel, name)));
      return names.map((name, n) => `${name}=${numbers[n] ?? ""}`).join(" ");
    },
    // [LCK-7] without patience: authorized_default_store of sysfs.c takes no lock, so no stick keeps a new controller open
    setDefault: async (controller, authorized) => {
      const path = join(devices, named(CONTROLLER, controller), "authorized_default");
      await put(`the default of "${controller}"`, path, DEFAULTS[authorized]);
    },
    setDevice: (device, authorized) => (authorized ? letIn(device) : shutOut(device)),
    setPort: async (port, disabled) => {
      const hub = hubOf(named(DEVICE, port));
      const folder = (await portFolders(devices, hub)).find((one) => portName(basename(one)) === port);
      if (folder === undefined) throw new Fault("usb.gone", `set port "${port}": no hub has it`);
      if (!(await namesIn(folder, HUB_ENTRIES_MAX)).includes("disable"))
        throw new Fault("usb.not-in-force", `set port "${port}": it can't be disabled; the switch needs Linux 6.0`);
      const key = portKey(hub, await numberOf(kernel, hub), port);
      await put(`port "${port}"`, join(folder, "disable"), disabled ? "1" : "0", (set) =>
        patience.within(hub, async () => {
          const found = await set();
          memories.switches.learn(key, isDisabled(found));
          return found;
        }),
      );
    },
  };
}

/** @throws Fault `usb.gone`, `usb.changed`. */
function expectSame(wanted: UsbDevice, found: UsbDevice | undefined, when: string): void {
  if (found === undefined) throw new Fault("usb.gone", `authorize "${wanted.port}": it was unplugged`);
  const same =
    found.number === wanted.number && found.descriptors === wanted.descriptors && found.claims?.serial === wanted.claims?.serial;
  if (!same) throw new Fault("usb.changed", `authorize "${wanted.port}": it was another device ${when}`);
}

function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
