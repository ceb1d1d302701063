// Whether this is the board that the device was born on. Pure. [ID-96]
import type { Board, DeviceIdentity } from "../../hal/format/identity.ts";
import { defined } from "../../hal/format/defined.ts";

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

/** For people. */
export function boardText({ serial, macs }: Board): string {
  return `serial ${serial ?? "unknown"}, MAC ${macs.length === 0 ? "unknown" : macs.join(" ")}`;
}
