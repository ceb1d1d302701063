// USB trees of a real kernel, for tests on machines without USB. test/gateway/hardware.gateway.ts
// records them and compares them with a kernel.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseJson } from "../../../hal/format/json.ts";
import { check } from "../../../hal/format/schema.ts";
import { PROJECT } from "../runner/sources.ts";
import { type SysfsTree, sysfsTreeSchema } from "./sysfs-tree.ts";

/**
 * One controller with four sockets of USB 2 and USB 3, on a kernel that authorizes nothing.
 * `unauthorized`: a keyboard in the first socket, a USB 3 stick in the second, a hub with a mouse
 * in the third. `devices`: the same once they were authorized.
 */
export const USB_TREES = ["empty", "unauthorized", "devices"] as const;
export type UsbTreeName = (typeof USB_TREES)[number];

const TREE_BYTES_MAX = 262_144;

export function usbTreePath(name: UsbTreeName): string {
  return join(PROJECT, "test/fixtures/usb-tree", `${name}.json`);
}

export function readUsbTree(name: UsbTreeName): SysfsTree {
  return parseUsbTree(readFileSync(usbTreePath(name)));
}

export function parseUsbTree(text: Uint8Array): SysfsTree {
  return check(sysfsTreeSchema, parseJson(text, TREE_BYTES_MAX, "USB tree"), "USB tree");
}
