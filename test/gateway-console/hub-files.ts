// What the user types in another terminal: a hub's command line that knows its hub, and people's keys, in the site's own folder.
import { copyFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Mould } from "../lab/gateway/golden-image.ts";
import { PROJECT } from "../lab/runner/sources.ts";

export interface DeskFiles {
  /** `sallyport-hub` with its state directory. */
  readonly hub: string;
  readonly technician: string;
}

/** The keys are copied: what they were cast from may be made anew while this gateway runs. */
export async function layOutDesk(directory: string, mould: Mould): Promise<DeskFiles> {
  const at = (name: string): string => join(directory, name);
  const files = { hub: at("sallyport-hub"), technician: at("technician.pem") };
  await copyFile(mould.technician.keyFile, files.technician);
  await copyFile(mould.owner.keyFile, at("owner.pem"));
  const program = join(PROJECT, "dist/sallyport-hub/main.js");
  const script = `#!/bin/sh\nSALLYPORT_HUB_STATE='${at("hub")}' exec '${process.execPath}' '${program}' "$@"\n`;
  await writeFile(files.hub, script, { mode: 0o700 });
  return files;
}

/** Short enough for 80 columns: so the folder is gone to first. */
export function howToPoke(directory: string, id: string): string {
  return [
    `In another terminal: cd ${directory}, and there`,
    `  ./sallyport-hub devices list`,
    `  ./sallyport-hub answer CHALLENGE --key technician.pem    (what "login" asks)`,
    `  ./sallyport-hub update start ${id} os/gateway-2.0.0.json`,
    "      (3.0.0 has a broken agent and is rolled back; 4.0.0 is good again)",
    `  ./sallyport-hub update status ${id}`,
    `  ./sallyport-hub order ${id} system.reboot --key technician.pem`,
    `  ./sallyport-hub order ${id} update.revert --key owner.pem`,
    `  ./sallyport-hub audit show ${id}`,
  ].join("\n");
}
