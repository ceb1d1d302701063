// The end of a boot, of hal/ports.ts, in a file of its own for its length.
import type { SlotName } from "./format/slots.ts";

/** What ended a boot of a system on trial, by what outlives the boot. [OTA-70] */
export interface BootEnd {
  /**
   * @returns `timer`: the timer of the trial in `slot` has ended it; `watchdog`: the hardware
   *   watchdog reset the machine in the boot before this one; undefined where nothing tells.
   * Never rejects.
   */
  told(slot: SlotName): Promise<BootEnding | undefined>;
  /** Forgets what was told of a trial. @throws Fault `file.*`. */
  forget(): Promise<void>;
}

export type BootEnding = "timer" | "watchdog";
