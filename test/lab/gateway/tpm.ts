// The TPM of a virtual gateway: swtpm on a Unix socket, over which QEMU passes it the command
// channel. Its state outlives power cycles.
import { access, mkdir, rm } from "node:fs/promises";
import { eventually, type RunningProgram } from "../runner/process.ts";
import { startWithUs } from "./start-program.ts";

/**
 * @param directory of the chip's state.
 * @throws Fault `process.timeout` when it does not come up.
 */
export async function powerTpm(directory: string, socketPath: string): Promise<RunningProgram> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await rm(socketPath, { force: true });
  const chip = startWithUs("swtpm", [
    "socket",
    "--tpm2",
    "--tpmstate",
    `dir=${directory}`,
    "--ctrl",
    `type=unixio,path=${socketPath}`,
    "--terminate",
  ]);
  try {
    await eventually("a TPM at its socket", () => access(socketPath).then(() => true));
  } catch (error) {
    await chip.stop();
    throw error;
  }
  return chip;
}
