// Which slot may be written, and one writer at a time for each part. [OTA-33]
import { Fault } from "../../fault.ts";
import type { SlotWriter } from "../../ports.ts";
import type { SlotName } from "../../format/slots.ts";

/**
 * @returns a function that opens the part at `path` unless it is being written already. `make` gets
 *   a function to call when its writer is closed.
 * @throws Fault `slot.busy`.
 */
export function createWriterGuard(): (path: string, make: (closed: () => void) => Promise<SlotWriter>) => Promise<SlotWriter> {
  const busy = new Set<string>();
  return async (path, make) => {
    if (busy.has(path)) throw new Fault("slot.busy", `write "${path}": it is being written already`);
    busy.add(path);
    try {
      return await make(() => busy.delete(path));
    } catch (error) {
      busy.delete(path);
      throw error;
    }
  };
}

/** @throws Fault `slot.in-use`. */
export function refuseRunning(running: SlotName, slot: SlotName): void {
  if (slot === running) throw new Fault("slot.in-use", `write slot "${slot}": the system runs from it`);
}

/** @throws Fault `slot.too-small`. */
export function refuseTooLarge(slot: SlotName, bytes: number, bytesMax: number): void {
  if (bytes > bytesMax)
    throw new Fault("slot.too-small", `write slot "${slot}": it takes at most ${bytesMax} bytes, not ${bytes}`);
}
