// An orderly reboot through systemd.
import { join } from "node:path";
import { asFault, Fault } from "../fault.ts";
import { printable } from "../format/text.ts";
import type { Power } from "../ports.ts";
import { linuxFiles } from "./files/index.ts";
import { runProgram } from "./process/index.ts";

/**
 * systemctl only leaves the request with systemd. If this takes longer, systemd does not answer.
 */
const REQUEST_MS_MAX = 30_000;
const OUTPUT_BYTES_MAX = 65_536;

const REASON_UNITS_MAX = 1024;

/**
 * The file below `run/` that tells the simulator of a board to reboot it: one line with the reason.
 */
const REQUEST = "reboot-request";

/**
 * @param root the root of the file system. Any value other than `/` is a simulated board: the
 *   request becomes the file `run/reboot-request`, and this machine is not touched.
 */
export function linuxPower({ root }: { readonly root: string }): Power {
  return {
    reboot: async (reason) => {
      const line = printable(reason, REASON_UNITS_MAX);
      try {
        await (root === "/" ? askSystemd(line) : leaveRequest(root, line));
      } catch (error) {
        const fault = asFault(error, "power.failed", "ask for a reboot");
        throw new Fault("power.failed", `ask for a reboot (${line}): ${fault.message}`, { cause: error });
      }
    },
  };
}

/**
 * systemctl(1) leaves the request with systemd, which stops every service in order. `--message`
 * goes into the journal.
 */
async function askSystemd(reason: string): Promise<void> {
  const options = { timeoutMs: REQUEST_MS_MAX, outputBytesMax: OUTPUT_BYTES_MAX };
  await runProgram("systemctl", ["reboot", "--no-wall", `--message=sallyport: ${reason}`], options);
}

async function leaveRequest(root: string, reason: string): Promise<void> {
  const files = await linuxFiles(join(root, "run"));
  await files.put(REQUEST, Buffer.from(`${reason}\n`));
}
