// What a factory reset needs of the warden and of the machine.
import type { Fault } from "../../hal/fault.ts";
import type { BirthRecord, DeviceId } from "../../hal/format/identity.ts";
import type { Clock, DurableFiles } from "../../hal/ports.ts";
import type { AuditHead } from "../audit/format/index.ts";
import type { AuditRecorder } from "../audit/index.ts";
import type { UpdateStatus } from "../update/format.ts";
import type { ChipOwner } from "./format.ts";

/** The TPM, where this device looks after one. */
export interface ResetChip {
  /** As it was seen last. */
  owner(): ChipOwner;
  /**
   * Hands the chip back: without this device's passwords and keys, as it was before the first boot.
   * Does nothing where it is not this device's.
   * @returns what could not be handed back, in words, for the trail of whoever does it.
   * @throws Fault `tpm.owned-by-others` where other software has it, `tpm.missing` where it is
   *   gone; `tpm.*` where it cannot be done now. What was begun goes on at the next start.
   */
  release(): Promise<readonly string[]>;
}

export interface ResetPorts {
  /** The warden's own directory. */
  readonly state: DurableFiles;
  /** The directory of the birth record: the marker lies beside it. */
  readonly marker: DurableFiles;
  /** Undefined where there is none. */
  readonly chip: ResetChip | undefined;
  readonly clock: Clock;
  readonly bootId: string;
  readonly deviceId: DeviceId;
  /** The version of the running release. */
  readonly version: string | undefined;
  /** The birth record, as it was read or written last. */
  readonly birth: () => BirthRecord | undefined;
  readonly update: () => UpdateStatus;
  readonly auditHead: () => AuditHead;
  /** Asks for an orderly restart, and records it. @throws Fault `power.failed`. */
  readonly restart: (reason: string) => Promise<void>;
  /** Never throws. */
  readonly record: AuditRecorder;
  /** Reports to the journal. */
  readonly report: (fault: Fault) => void;
}
