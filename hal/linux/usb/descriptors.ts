// A strict parser for a device's descriptors as sysfs shows them. A device whose descriptors
// deviate from the specification has no claims. [LCK-8]
import { Fault } from "../../fault.ts";
import type { UsbClaims } from "../../ports.ts";
import { INTERFACES_MAX } from "./limits.ts";

/** USB 2.0 specification, table 9-5. */
const DEVICE = 1;
const CONFIGURATION = 2;
const INTERFACE = 4;
/** Tables 9-8, 9-10 and 9-12. */
export const DEVICE_DESCRIPTOR_BYTES = 18;
const CONFIGURATION_BYTES = 9;
const INTERFACE_BYTES = 9;
/** USB_MAXCONFIG of the kernel's drivers/usb/core/config.c. */
const CONFIGURATIONS_MAX = 8;

/**
 * [LCK-8] `descriptors` of Documentation/ABI/stable/sysfs-bus-usb: "the device descriptor.
 * Following that are the raw descriptor entries for all the configurations", as they came over the
 * wire (little endian). A device that is not authorized has no interface folders, so this is the
 * only source.
 * @throws Fault `usb.invalid` when lengths, counts or the order of descriptors disagree.
 */
export function parseDescriptors(bytes: Uint8Array): Omit<UsbClaims, "serial"> {
  if (bytes.byteLength < DEVICE_DESCRIPTOR_BYTES || bytes[0] !== DEVICE_DESCRIPTOR_BYTES || bytes[1] !== DEVICE)
    throw invalid("it does not start with a device descriptor of 18 bytes");
  const configurations = at(bytes, 17);
  if (configurations < 1 || configurations > CONFIGURATIONS_MAX)
    throw invalid(`it claims ${configurations} configurations, expected 1 to ${CONFIGURATIONS_MAX}`);
  const interfaces = new Set<string>();
  let offset = DEVICE_DESCRIPTOR_BYTES;
  for (let n = 0; n < configurations; n++) {
    const end = offset + configurationBytes(bytes, offset);
    walkConfiguration(bytes.subarray(offset, end), interfaces);
    offset = end;
  }
  if (offset !== bytes.byteLength) throw invalid(`${bytes.byteLength - offset} bytes follow its last configuration`);
  return { vendor: hex16(bytes, 8), product: hex16(bytes, 10), interfaces: [...interfaces].sort() };
}

function configurationBytes(bytes: Uint8Array, offset: number): number {
  if (at(bytes, offset) !== CONFIGURATION_BYTES || at(bytes, offset + 1) !== CONFIGURATION)
    throw invalid(`at byte ${offset} no configuration descriptor of 9 bytes`);
  const total = at(bytes, offset + 2) + 256 * at(bytes, offset + 3);
  if (total < CONFIGURATION_BYTES || offset + total > bytes.byteLength)
    throw invalid(`a configuration claims ${total} bytes, ${bytes.byteLength - offset} are there`);
  return total;
}

/** Adds the interfaces of one configuration, including alternate settings. */
function walkConfiguration(bytes: Uint8Array, interfaces: Set<string>): void {
  const numbers = new Set<number>();
  for (let offset = CONFIGURATION_BYTES; offset < bytes.byteLength; offset += at(bytes, offset)) {
    const length = at(bytes, offset);
    if (length < 2 || offset + length > bytes.byteLength)
      throw invalid(`a descriptor of ${length} bytes does not fit its configuration`);
    const type = at(bytes, offset + 1);
    if (type === DEVICE || type === CONFIGURATION) throw invalid(`a descriptor of type ${type} lies within a configuration`);
    if (type !== INTERFACE) continue;
    if (length !== INTERFACE_BYTES) throw invalid(`an interface descriptor has ${length} bytes, expected 9`);
    numbers.add(at(bytes, offset + 2));
    interfaces.add([5, 6, 7].map((field) => hex8(at(bytes, offset + field))).join(":"));
    if (interfaces.size > INTERFACES_MAX) throw invalid(`it has more than ${INTERFACES_MAX} kinds of interfaces`);
  }
  if (numbers.size !== at(bytes, 4)) throw invalid(`a configuration claims ${at(bytes, 4)} interfaces and has ${numbers.size}`);
}

/** @throws Fault `usb.invalid` past the end: an offset that a device chose is never trusted. */
function at(bytes: Uint8Array, offset: number): number {
  const byte = bytes[offset];
  if (byte === undefined) throw invalid(`it ends at byte ${bytes.byteLength}, in the middle of a descriptor`);
  return byte;
}

function hex16(bytes: Uint8Array, offset: number): string {
  return hex8(at(bytes, offset + 1)) + hex8(at(bytes, offset));
}

function hex8(byte: number): string {
  return byte.toString(16).padStart(2, "0");
}

function invalid(why: string): Fault {
  return new Fault("usb.invalid", why);
}
