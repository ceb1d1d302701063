// Things to plug into a virtual gateway, as QEMU wants them said: the same words for its command line and for its machine protocol.
import { unreachable } from "../../../hal/fault.ts";
import type { QmpValue } from "./qmp.ts";

/** `id` names it until it is unplugged: letters, digits and dashes. */
export type UsbDevice =
  | { readonly id: string; readonly kind: "keyboard" | "mouse" }
  /** Holds `image`, a raw file that is only read, or 16 MiB of zeros. */
  | { readonly id: string; readonly kind: "stick"; readonly image?: string };

type Words = Readonly<Record<string, QmpValue>>;

export interface UsbWords {
  readonly device: Words;
  /** What backs it, to be added before it and removed after it. */
  readonly drive?: Words & { readonly "node-name": string };
}

const EMPTY_STICK_BYTES = 16 * 1024 * 1024;

export function usbWords(device: UsbDevice): UsbWords {
  switch (device.kind) {
    case "keyboard":
      return { device: { driver: "usb-kbd", id: device.id, bus: "usb.0" } };
    case "mouse":
      return { device: { driver: "usb-mouse", id: device.id, bus: "usb.0" } };
    case "stick": {
      const node = `${device.id}-drive`;
      const content: Words =
        device.image === undefined
          ? { driver: "null-co", size: EMPTY_STICK_BYTES, "read-zeroes": true }
          : { driver: "file", filename: device.image };
      return {
        drive: { ...content, "node-name": node, "read-only": true },
        device: { driver: "usb-storage", id: device.id, bus: "usb.0", drive: node, serial: device.id },
      };
    }
    default:
      return unreachable(device);
  }
}
