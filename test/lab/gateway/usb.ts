// USB devices for a virtual gateway, described for QEMU: its command line and its machine protocol
// take the same properties.
import { unreachable } from "../../../hal/fault.ts";
import type { QmpValue } from "./qmp.ts";

export interface UsbDevice {
  /** A stick holds 16 MiB of zeros. */
  readonly kind: "keyboard" | "mouse" | "hub" | "stick";
  /** Its name until it is unplugged: letters, digits and dashes. */
  readonly id: string;
  /**
   * The socket: `1` to `4` of the machine's, `3.1` behind a hub in the third. The first free one
   * when left out.
   */
  readonly port?: string;
  /**
   * A file for the traffic between machine and device, for readUsbTap. It is complete once the
   * device is unplugged.
   */
  readonly tap?: string;
}

type Words = Readonly<Record<string, QmpValue>>;

export interface UsbWords {
  readonly device: Words;
  /** The drive behind it, which must be added before it and removed after it. */
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
