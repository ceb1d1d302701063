// The choice of the device id from the facts of the hardware. Pure. [ID-1] [ID-2] [ID-3]
import { createHash } from "node:crypto";
import { Fault } from "../../hal/fault.ts";
import {
  DEVICE_ID_PATTERN,
  type DeviceId,
  deviceIdSchema,
  type DeviceIdentity,
  type DeviceIdSource,
  type HardwareFacts,
} from "../../hal/format/identity.ts";
import { check } from "../../hal/format/schema.ts";
import { clip } from "../../hal/format/text.ts";
import { isOwnMac, isPlaceholderSerial } from "./placeholders.ts";

/** X.520 limits serialNumber to 64 characters, and so does the CSR. */
const BOARD_SERIAL_CHARS_MAX = 64;
const MODEL_CHARS_MAX = 128;
const MACS_MAX = 16;

/**
 * [ID-1] The device id by preference: commissioned, board serial, permanent MAC. Of several MACs
 * the lowest is taken: interfaces may come up in another order with the next kernel, and the id
 * must not change.
 * @throws Fault `identity.no-source` when nothing usable is left after placeholders [ID-2]. [ID-3]
 */
export function chooseIdentity(facts: HardwareFacts): DeviceIdentity {
  const serial = usable(facts.serials);
  const macs = [...new Set(facts.interfaces.map(({ mac }) => mac.toLowerCase()).filter((mac) => isOwnMac(mac)))];
  return { ...chooseId(usable([facts.commissionedId ?? ""]), serial, macs), ...describe(serial, macs, facts.model) };
}

/** What goes with any id into the CSR and the status. */
function describe(
  serial: string | undefined,
  macs: readonly string[],
  model: string | undefined,
): Omit<DeviceIdentity, "id" | "source"> {
  return {
    ...(serial === undefined || serial.length > BOARD_SERIAL_CHARS_MAX || !isPrintable(serial) ? {} : { boardSerial: serial }),
    macs: macs.slice(0, MACS_MAX),
    ...(model === undefined || model === "" ? {} : { model: clip(model, MODEL_CHARS_MAX) }),
  };
}

function chooseId(
  commissioned: string | undefined,
  serial: string | undefined,
  macs: readonly string[],
): { readonly id: DeviceId; readonly source: DeviceIdSource } {
  if (commissioned !== undefined) return idOf(commissioned, "commissioned");
  if (serial !== undefined) return idOf(serial, "serial");
  const [lowest] = macs.toSorted();
  if (lowest !== undefined) return idOf(lowest.replaceAll(":", ""), "mac");
  throw new Fault(
    "identity.no-source",
    "choose the device id: the board has no serial of its own and no built-in interface with a permanent MAC; commission the device with an id",
  );
}

/**
 * [ID-1] The text itself where it fits, otherwise a hash of it, which is stable and still unique to
 * this board.
 */
function idOf(text: string, source: DeviceIdSource): { readonly id: DeviceId; readonly source: DeviceIdSource } {
  if (DEVICE_ID_PATTERN.test(text)) return { id: check(deviceIdSchema, text, "device id"), source };
  const id = `h-${createHash("sha256").update(text).digest("hex").slice(0, 32)}`;
  return { id: check(deviceIdSchema, id, "device id"), source: "hash" };
}

/**
 * The first text that identifies this board. A blank EEPROM (all ff) is a placeholder as much as a
 * BIOS default is.
 */
function usable(texts: readonly string[]): string | undefined {
  return texts.map((text) => text.trim()).find((text) => !isPlaceholderSerial(text));
}

function isPrintable(text: string): boolean {
  return /^[\u0020-\u007e]+$/u.test(text);
}
