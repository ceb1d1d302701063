// The file of the dead man's switch: a table for nft, and above it, as comments, what is shut at
// USB. One file, so that one rename decides about all of it. [LCK-15] [LCK-21]
import type { WayBack } from "../../ports.ts";
import { DEVICE, hubOf, requireName } from "../usb/index.ts";
import { replacementOf } from "./replacement.ts";

/**
 * @throws Fault `usb.gone` for a name that is none of the kernel's: it would become part of a path
 *   in a shell.
 */
export function fileOf({ table, devices, ports }: WayBack): string {
  const lines = [
    ...devices.map(({ port, number }) => `# device ${requireName(DEVICE, port)} ${number}`),
    ...ports.map((port) => `# port ${hubOf(requireName(DEVICE, port))} ${portFolderOf(port)}`),
  ];
  return [...lines, replacementOf(table)].join("\n");
}

/** The folder of a port in an interface of its hub: `usb1-port2` for 1-2, `1-1-port3` for 1-1.3. */
function portFolderOf(port: string): string {
  return `${hubOf(port)}-port${/\d+$/u.exec(port)?.[0] ?? ""}`;
}
