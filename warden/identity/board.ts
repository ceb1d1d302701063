// Whether this is the board that the device was born on, or one that the owner has named. [ID-96]
import { Fault } from "../../hal/fault.ts";
import type { Board, DeviceIdentity } from "../../hal/format/identity.ts";
import { defined } from "../../hal/format/defined.ts";
import type { DurableFiles } from "../../hal/ports.ts";
import { ADMITTED_BYTES_MAX } from "./limits.ts";

export function boardOf({ boardSerial, macs }: Pick<DeviceIdentity, "boardSerial" | "macs">): Board {
  return { ...defined({ serial: boardSerial }), macs: [...macs] };
}

/**
 * [ID-96] True where serial and MACs of the board of the birth and of this one are known, and
 * nothing agrees. One part that agrees makes it the same board, with a part replaced. What is not
 * known decides nothing: an older record, a placeholder, a card whose driver has not come.
 */
export function isOtherBoard(born: Board, found: Board): boolean {
  if (born.serial === undefined || found.serial === undefined || born.serial === found.serial) return false;
  return born.macs.length > 0 && found.macs.length > 0 && !found.macs.some((mac) => born.macs.includes(mac));
}

const ADMITTED_FILE = "board";

/**
 * [ID-96] The serial of the board to which the owner says to have moved the disk, from a file
 * beside the birth record: for hubs that cannot be asked. A copy in a third board does not fit it.
 */
export async function readAdmittedSerial(files: Pick<DurableFiles, "get">): Promise<string | undefined> {
  try {
    const bytes = await files.get(ADMITTED_FILE, ADMITTED_BYTES_MAX);
    return bytes === undefined ? undefined : Buffer.from(bytes).toString("utf8").trim();
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return undefined; // a file that cannot be read admits nobody
  }
}

/** For people. */
export function boardText({ serial, macs }: Board): string {
  return `serial ${serial ?? "unknown"}, MAC ${macs.length === 0 ? "unknown" : macs.join(" ")}`;
}
