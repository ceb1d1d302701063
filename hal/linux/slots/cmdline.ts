// The running slot: the boot loader tells the kernel, and the kernel tells us. [OTA-33]
import { join } from "node:path";
import { Fault } from "../../fault.ts";
import { quoted } from "../../format/text.ts";
import type { SlotName } from "../../format/slots.ts";
import { readKernelFile } from "../files/index.ts";
import { COMMAND_LINE_BYTES_MAX } from "./limits.ts";

/**
 * If the setting occurs twice, the later one may come from a person who edited the line. Then
 * nothing is known.
 */
const SLOT_PATTERN = /(?:^|\s)sallyport\.slot=(\S*)/g;

/**
 * @throws Fault `slot.unknown` unless the kernel's command line has `sallyport.slot=a` or `=b`
 *   exactly once.
 */
export async function runningSlot(root: string): Promise<SlotName> {
  const line = await readKernelFile(join(root, "proc/cmdline"), COMMAND_LINE_BYTES_MAX);
  const found = [...(line ?? "").matchAll(SLOT_PATTERN)].map(([, slot]) => slot);
  const [slot] = found;
  if (found.length === 1 && (slot === "a" || slot === "b")) return slot;
  throw new Fault(
    "slot.unknown",
    `find the running slot: expected sallyport.slot=a or =b exactly once in the kernel's command line, found ${found.length === 0 ? "none" : quoted(found.slice(0, 4).join(", "))}`,
  );
}
