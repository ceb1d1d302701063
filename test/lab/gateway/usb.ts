// Things to plug into a virtual gateway, as QEMU wants them said: the same words for its command line and for its machine protocol.
import { unreachable } from "../../../hal/fault.ts";
import type { QmpValue } from "./qmp.ts";

export interface UsbDevice {
  /** A stick holds 16 MiB of zeros. */
  readonly kind: "keyboard" | "mouse" | "hub" | "stick";
  /** Names it until it is unplugged: letters, digits and dashes. */
  readonly id: string;
  /** Where it goes in: `1` to `4` of the machine's sockets, `3.1` behind a hub in the third; the first that is free when left out. */
  readonly port?: string;
  /** Gets all that passes between machine and device, to be read by readUsbTap; whole once the device is unplugged. */
  readonly tap?: string;
}

type Words = Readonly<Record<string, QmpValue>>;

export interface UsbWords {
  readonly device: Words;
  /** What backs it, to be added before it and removed after it. */
  readonly drive?: Words & { readonly "node-name": string };
}

const STICK_BYTES = 16 * 1024 * 1024;

export function usbWords(device: UsbDevice): UsbWords {
  const { id, port, tap } = device;
  const common: Words = { id, bus: "usb.0", ...(port !== undefined && { port }), ...(tap !== undefined && { pcap: tap }) };
  switch (device.kind) {
    case "keyboard":
      return { device: { driver: "usb-kbd", ...common } };
    case "mouse":
      return { device: { driver: "usb-mouse", ...common } };
    case "hub":
      return { device: { driver: "usb-hub", ...common } };
    case "stick": {
      const node = `${id}-drive`;
      return {
        drive: { driver: "null-co", size: STICK_BYTES, "read-zeroes": true, "node-name": node, "read-only": true },
        device: { driver: "usb-storage", ...common, drive: node, serial: id },
      };
    }
    default:
      return unreachable(device.kind);
  }
}
