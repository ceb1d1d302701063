// What the board says about itself. These are facts only: the warden judges which are placeholders
// and which becomes the id. [ID-1] [ID-3]
import { join } from "node:path";
import { Fault } from "../../fault.ts";
import type { Hardware } from "../../ports.ts";
import { errnoOf, readKernelFile } from "../files/index.ts";
import { builtInInterfaces } from "./interfaces.ts";
import { ATTRIBUTE_BYTES_MAX, COMMISSIONED_BYTES_MAX } from "./limits.ts";

export interface HardwareOptions {
  /** `/`, or a folder that looks like the kernel's view: a simulated board. */
  readonly root: string;
  /**
   * A file under `root` with the id that was assigned at commissioning: an EEPROM
   * (`sys/bus/nvmem/devices/.../nvmem`) or a file from the factory.
   */
  readonly commissionedIdFile?: string;
}

/**
 * In the order of [ID-1]. DMI: dmi_id.c makes product_serial, board_serial and chassis_serial
 * readable by root only. Device tree: the `serial-number` property.
 */
const SERIALS = [
  "sys/class/dmi/id/product_serial",
  "sys/class/dmi/id/board_serial",
  "sys/class/dmi/id/chassis_serial",
  "proc/device-tree/serial-number",
] as const;

const MODELS = ["sys/class/dmi/id/product_name", "proc/device-tree/model"] as const;

/** random(4): "a random string that is generated once ... at boot", a UUID. */
const BOOT_ID = "proc/sys/kernel/random/boot_id";
const BOOT_ID_PATTERN = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * The kernel guarantees that DMI attributes and device-tree properties are what the firmware
 * provided at boot and do not change, and that the boot id changes with every boot and never within
 * one.
 * @throws Fault `file.read-failed` when a source exists and cannot be read, most often for lack of
 *   root, and when there is no boot id. A simulated board must bring its own boot id, because the
 *   machine's would not change with the board's boots.
 */
export function linuxHardware(options: HardwareOptions): Hardware {
  const { root, commissionedIdFile } = options;
  return {
    facts: async () => ({
      commissionedId: commissionedIdFile === undefined ? undefined : await commissioned(root, commissionedIdFile),
      serials: await texts(root, SERIALS),
      interfaces: await builtInInterfaces(root),
      model: (await texts(root, MODELS))[0],
    }),
    bootId: () => bootId(root),
  };
}

async function bootId(root: string): Promise<string> {
  const id = await text(root, BOOT_ID);
  if (id === undefined || !BOOT_ID_PATTERN.test(id))
    throw new Fault(
      "file.read-failed",
      `read the boot id "${join(root, BOOT_ID)}": ${id === undefined ? "there is none" : `"${id}" is not a UUID`}`,
    );
  return id;
}

async function texts(root: string, paths: readonly string[]): Promise<readonly string[]> {
  const found: string[] = [];
  for (const path of paths) {
    const value = await text(root, path);
    if (value !== undefined) found.push(value);
  }
  return found;
}

/**
 * [ID-2] @returns the text without what fills it up at its end, trimmed; undefined when it is
 *   empty. Nothing is cut at an odd byte, a NUL or a line end included: what comes behind may be
 *   all that tells two boards apart. For the same reason a text that is longer than the bound is no
 *   text, and not its beginning.
 */
async function text(root: string, path: string): Promise<string | undefined> {
  const raw = await readKernelFile(join(root, path), ATTRIBUTE_BYTES_MAX + 1);
  return raw === undefined || Buffer.byteLength(raw) > ATTRIBUTE_BYTES_MAX ? undefined : clean(raw);
}

/**
 * The first line of a file, or of the start of an EEPROM that holds other things behind it. A
 * directory or a link in its place is no id, and no reason not to start.
 */
async function commissioned(root: string, path: string): Promise<string | undefined> {
  try {
    return clean((await readKernelFile(join(root, path), COMMISSIONED_BYTES_MAX))?.split(/[\0\n]/, 1)[0]);
  } catch (error) {
    if (error instanceof Fault && ["EISDIR", "ELOOP"].includes(errnoOf(error.cause) ?? "")) return undefined;
    throw error;
  }
}

function clean(raw = ""): string | undefined {
  let end = raw.length;
  while (end > 0 && isFilling(raw.charAt(end - 1))) end -= 1;
  const value = raw.slice(0, end).trimStart();
  return value === "" ? undefined : value;
}

/** A device-tree string ends with NUL. Erased flash is 0xff, which is not UTF-8. */
function isFilling(character: string): boolean {
  return character === "\0" || character === "\u00ff" || character.trim() === "";
}
