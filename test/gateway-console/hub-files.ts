// Files for the user's other terminal, in the site's folder: the hub's command line with its state
// directory, and the operators' keys.
import { copyFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { GoldenImage } from "../lab/gateway/golden-image.ts";
import { PROJECT } from "../lab/runner/sources.ts";

export interface HubFiles {
  /** `sallyport-hub` with its state directory. */
  readonly hub: string;
  readonly technician: string;
}

/** Copies the keys: the golden image may be built anew while this gateway runs. */
export async function writeHubFiles(directory: string, golden: GoldenImage): Promise<HubFiles> {
  const at = (name: string): string => join(directory, name);
  const files = { hub: at("sallyport-hub"), technician: at("technician.pem") };
  await copyFile(golden.technician.keyFile, files.technician);
  await copyFile(golden.owner.keyFile, at("owner.pem"));
  await copyFile(join(golden.directory, "given", "root.json"), at("root.json"));
  const program = join(PROJECT, "dist/sallyport-hub/main.js");
  const script = `#!/bin/sh\nSALLYPORT_HUB_STATE='${at("hub")}' SALLYPORT_TRUST_ROOT='${at("root.json")}' exec '${process.execPath}' '${program}' "$@"\n`;
  await writeFile(files.hub, script, { mode: 0o700 });
  return files;
}

/** The first line changes into the folder, so that every line fits 80 columns. */
export function hubCommandHelp(directory: string, id: string): string {
  return [
    `In another terminal, after cd ${directory}:`,
    `  ./sallyport-hub devices list`,
    `  ./sallyport-hub answer CHALLENGE --key technician.pem    (the challenge of "login")`,
    `  ./sallyport-hub update start ${id} os/gateway-2.0.0.json`,
    "      (3.0.0 has a broken agent and is rolled back; 4.0.0 works)",
    `  ./sallyport-hub update status ${id}`,
    `  ./sallyport-hub order ${id} system.reboot --key technician.pem`,
    `  ./sallyport-hub order ${id} update.revert --key owner.pem`,
    `  ./sallyport-hub audit show ${id}`,
  ].join("\n");
}
