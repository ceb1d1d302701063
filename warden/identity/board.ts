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
 * [ID-96] True where something is known of both the board of the birth and this one, and nothing of
 * it agrees. One part that agrees makes it the same board, with a part replaced. MACs that only one
 * of them has decide nothing: the driver of a card may not have come. Nor does a serial that only
 * one has: many boards have none, and theirs are told apart by their MACs alone.
 */
export function isOtherBoard(born: Board, found: Board): boolean {
  const serials = born.serial !== undefined && found.serial !== undefined;
  if (serials && born.serial === found.serial) return false;
  if (born.macs.length === 0 && found.macs.length === 0) return serials;
  return born.macs.length > 0 && found.macs.length > 0 && !found.macs.some((mac) => born.macs.includes(mac));
}

const ADMITTED_FILE = "board";

/**
 * [ID-96] The serial, or a MAC, of the board to which the owner says to have moved the disk, from a
 * file beside the birth record: for hubs that cannot be asked. A copy in a third board does not fit
 * it.
 */
export async function readAdmittedBoard(files: Pick<DurableFiles, "get">): Promise<string | undefined> {
  try {
    const bytes = await files.get(ADMITTED_FILE, ADMITTED_BYTES_MAX);
    return bytes === undefined ? undefined : Buffer.from(bytes).toString("utf8").trim();
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return undefined; // a file that cannot be read admits nobody
  }
}

/** @param named the text of the owner's file. */
export function isNamed({ serial, macs }: Board, named: string | undefined): boolean {
  return named !== undefined && (named === serial || macs.includes(named.toLowerCase().replaceAll("-", ":")));
}
