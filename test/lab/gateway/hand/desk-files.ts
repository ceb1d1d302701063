// What the user types in another terminal: a hub's command line that knows its hub, and people's keys, in the site's own folder.
import { copyFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Mould } from "../mould.ts";
import { PROJECT } from "../../sources.ts";

export interface DeskFiles {
  /** `sallyport-hub` with its state directory. */
  readonly hub: string;
  readonly technician: string;
  readonly owner: string;
}

/** The keys are copied: what they were cast from may be made anew while this gateway runs. */
export async function layOutDesk(directory: string, mould: Mould): Promise<DeskFiles> {
  const at = (name: string): string => join(directory, name);
  const files = { hub: at("sallyport-hub"), technician: at("technician.pem"), owner: at("owner.pem") };
  await copyFile(mould.technician.keyFile, files.technician);
  await copyFile(mould.owner.keyFile, files.owner);
  const program = join(PROJECT, "dist/sallyport-hub/main.js");
  const script = `#!/bin/sh\nSALLYPORT_HUB_STATE='${at("hub")}' exec '${process.execPath}' '${program}' "$@"\n`;
  await writeFile(files.hub, script, { mode: 0o700 });
  return files;
}

export function howToPoke({ hub, technician, owner }: DeskFiles, id: string): string {
  return [
    "In another terminal:",
    `  the device at the hub   ${hub} devices list`,
    `  an update               ${hub} update start ${id} os/gateway-2.0.0.json`,
    `  how far it is           ${hub} update status ${id}`,
    `  a login's answer        ${hub} answer CHALLENGE --key ${technician}`,
    `  a signed order          ${hub} order ${id} system.reboot --key ${technician}`,
    `  its audit trail         ${hub} audit show ${id}`,
    `  (3.0.0 is broken, 4.0.0 is good; ${owner} may order update.revert)`,
  ].join("\n");
}
