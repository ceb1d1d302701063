// The kernel's names for controllers, devices and ports, and where they are in the tree.
import { Fault } from "../../fault.ts";
import { quoted } from "../../format/text.ts";

export const CONTROLLER = /^usb(\d{1,3})$/u;
export const DEVICE = /^\d{1,3}-\d{1,3}(?:\.\d{1,3})*$/u;
/** `1-0:1.0` is of a controller, `1-1.2:1.0` of a hub. */
export const INTERFACE = /^\d{1,3}-[\d.]+:\d{1,3}\.\d{1,3}$/u;
/** `usb1-port2`, `1-1.2-port3`. */
const PORT = /^(?:usb(\d{1,3})|(\d{1,3}-\d{1,3}(?:\.\d{1,3})*))-port(\d{1,3})$/u;

/** `usb1-port2` is where `1-2` is plugged in, `1-1.2-port3` where `1-1.2.3` is. */
export function portName(folder: string): string | undefined {
  const [, bus, hub, port] = PORT.exec(folder) ?? [];
  if (port === undefined) return undefined;
  return bus === undefined ? `${hub ?? ""}.${port}` : `${bus}-${port}`;
}

/** The controller or hub of a port: `usb1` has `1-2`, `1-1.2` has `1-1.2.3`. */
export function hubOf(port: string): string {
  return port.includes(".") ? port.slice(0, port.lastIndexOf(".")) : `usb${port.split("-")[0] ?? ""}`;
}

/**
 * Checks a name before it becomes part of a path: only names of the kernel's form pass.
 * @throws Fault `usb.gone`.
 */
export function requireName(pattern: RegExp, name: string): string {
  if (pattern.test(name)) return name;
  throw new Fault("usb.gone", `find ${quoted(name, 40)} in the USB tree: the kernel has no such names`);
}
