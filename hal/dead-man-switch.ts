// The dead man's switch of hal/ports.ts, in a file of its own for its length.
import type { UsbDevice } from "./usb.ts";

/** A way back that comes by itself, also when this program does nothing more. */
export interface DeadManSwitch {
  /**
   * Puts `way` in force after `afterMs`, rounded up to seconds, unless the switch is disarmed or
   * armed anew before that.
   * @throws Fault `file.*`, `process.failed`: a switch that was armed before stays armed.
   *   `lockdown.not-in-force` when it has fired since it was last disarmed: it is not armed then.
   */
  arm(way: WayBack, afterMs: number): Promise<void>;
  /**
   * Disarms the switch. It is no fault when it is not armed.
   * @returns true when it has fired since it was last disarmed, also in an earlier run.
   * @throws Fault `file.*`; what waited to fire is ended all the same.
   */
  disarm(): Promise<boolean>;
}

/** What a {@link DeadManSwitch} does. It shuts, and lets nothing in. */
export interface WayBack {
  /** The table that replaces ours. */
  readonly table: string;
  /** USB devices that are shut out, each only as long as it has this number. */
  readonly devices: readonly Pick<UsbDevice, "port" | "number">[];
  /** USB ports that are disabled. */
  readonly ports: readonly string[];
}
