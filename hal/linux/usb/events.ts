// The kernel's events about USB devices. Node has no netlink sockets, so udev's own tool reads
// them, as a child whose output is bounded. It passes on events of the kernel and of nobody else,
// because it checks the sender of each (decision 0032). [LCK-70]
import { basename, join } from "node:path";
import { Fault } from "../../fault.ts";
import type { UsbEvent, UsbEvents, UsbListener } from "../../ports.ts";
import { startChild } from "../child/index.ts";
import { namesIn } from "./attributes.ts";
import { EVENT_LINE_BYTES_MAX, EVENT_PROPERTIES_MAX, HUB_ENTRIES_MAX } from "./limits.ts";
import { CONTROLLER, DEVICE } from "./names.ts";
import type { UsbTreeOptions } from "./tree.ts";

/**
 * udevadm(8): events as the kernel sends them, before any udev rule, with all of their properties.
 */
const MONITOR = ["udevadm", "monitor", "--kernel", "--property", "--subsystem-match=usb"] as const;
/** The end of its preface: from now on it listens. */
const LISTENING = "KERNEL - the kernel uevent";

/**
 * @param root `/`, or a folder that looks like the kernel's view.
 * @returns undefined where there is nothing to follow, because the tree is no kernel's.
 */
export function linuxUsbEvents({ root }: Pick<UsbTreeOptions, "root">): UsbEvents | undefined {
  return root === "/" ? followEvents(MONITOR, join(root, "sys/bus/usb")) : undefined;
}

/**
 * @param command writes as udevadm does. It runs as long as the events are followed.
 * @param bus is there once the kernel has USB: its driver may be loaded after this program started.
 */
export function followEvents([program, ...args]: readonly [string, ...string[]], bus: string): UsbEvents {
  return {
    follow: async (listener, signal) => {
      if ((await namesIn(bus, HUB_ENTRIES_MAX)).length === 0) return;
      const said: string[] = [];
      const child = await startChild(program, args, {
        lineBytesMax: EVENT_LINE_BYTES_MAX,
        onErrorLine: (line) => void said.push(line),
      });
      const kill = (): void => void child.kill();
      signal.addEventListener("abort", kill, { once: true });
      if (signal.aborted) kill();
      try {
        await pass(child.lines, listener);
      } finally {
        signal.removeEventListener("abort", kill);
        await child.kill();
      }
      if (signal.aborted) return;
      const why = [await child.ended, ...said.slice(0, 1)].join(": ");
      throw new Fault("process.failed", `follow USB events: "${program}" has ended (${why})`);
    },
  };
}

async function pass(lines: AsyncIterable<string>, { onListening, onEvent }: UsbListener): Promise<void> {
  const properties = new Map<string, string>();
  for await (const line of lines) {
    if (line === LISTENING) onListening();
    const event = nextEvent(properties, line);
    if (event !== undefined) onEvent(event);
  }
}

/**
 * Adds a line of udevadm's output to the event that is being read.
 * @param properties of that event; emptied at its end
 * @returns the event that ends with this line, when it is about a USB device or controller that
 *   came or went.
 */
export function nextEvent(properties: Map<string, string>, line: string): UsbEvent | undefined {
  if (line === "") {
    const event = eventOf(properties);
    properties.clear();
    return event;
  }
  const at = line.indexOf("=");
  if (at > 0 && properties.size < EVENT_PROPERTIES_MAX) properties.set(line.slice(0, at), line.slice(at + 1));
  return undefined;
}

/** drivers/usb/core/driver.c, `usb_uevent`, and usb.c, `usb_dev_uevent`, write the properties. */
function eventOf(properties: ReadonlyMap<string, string>): UsbEvent | undefined {
  const action = properties.get("ACTION");
  if (properties.get("SUBSYSTEM") !== "usb" || properties.get("DEVTYPE") !== "usb_device") return undefined;
  if (action !== "add" && action !== "remove") return undefined;
  const port = basename(properties.get("DEVPATH") ?? "");
  if (!DEVICE.test(port) && !CONTROLLER.test(port)) return undefined;
  const number = /^\d{1,3}$/u.exec(properties.get("DEVNUM") ?? "")?.[0];
  const [, vendor, product] = /^([0-9a-f]{1,4})\/([0-9a-f]{1,4})\/[0-9a-f]{1,4}$/u.exec(properties.get("PRODUCT") ?? "") ?? [];
  return {
    what: action === "add" ? "came" : "went",
    port,
    number: number === undefined ? undefined : Number(number),
    id: vendor === undefined || product === undefined ? undefined : `${vendor.padStart(4, "0")}:${product.padStart(4, "0")}`,
  };
}
