// An orderly reboot.
import { join } from "node:path";
import { asFault, Fault } from "../../fault.ts";
import type { Power } from "../../ports.ts";
import { linuxFiles } from "../files/index.ts";
import { runProgram } from "../process/index.ts";
import { ANSWER_BYTES_MAX, ASK_WITHIN_MS } from "./limits.ts";

/** What whoever plays systemd and boot loader for a simulated board looks for, below `run/`: one line, the reason. */
const REQUEST = "reboot-request";

/** @param root what stands for `/`. Anything else than `/` is a simulated board, and this machine is not touched: the request is a file, `run/reboot-request`. */
export function linuxPower({ root }: { readonly root: string }): Power {
  return {
    reboot: async (reason) => {
      const line = reason.replaceAll(/[\u0000-\u001f\u007f-\u009f]/gu, "?");
      try {
        await (root === "/" ? askSystemd(line) : leaveRequest(root, line));
      } catch (error) {
        const fault = asFault(error, "power.failed", "ask for a reboot");
        throw new Fault("power.failed", `ask for a reboot (${line}): ${fault.message}`, { cause: error });
      }
    },
  };
}

/** systemctl(1): leaves word with systemd, which stops every service in order. `--message` goes into the journal. */
async function askSystemd(reason: string): Promise<void> {
  const options = { timeoutMs: ASK_WITHIN_MS, outputBytesMax: ANSWER_BYTES_MAX };
  await runProgram("systemctl", ["reboot", "--no-wall", `--message=sallyport: ${reason}`], options);
}

async function leaveRequest(root: string, reason: string): Promise<void> {
  const files = await linuxFiles(join(root, "run"));
  await files.put(REQUEST, Buffer.from(`${reason}\n`));
}
