// What lockdown needs of the warden and of the machine.
import type { Fault } from "../../hal/fault.ts";
import type { DeviceId } from "../../hal/identity/format.ts";
import type { Clock, DurableFiles } from "../../hal/ports.ts";
import type { Executors } from "./apply.ts";
import type { Plan, Policy } from "./format/index.ts";
import type { LockdownReport } from "./machine.ts";
import type { MachineFacts } from "./machine-facts.ts";

export interface LockdownPorts extends Executors {
  readonly files: DurableFiles;
  readonly clock: Clock;
  /** The machine but its USB tree. */
  readonly readFacts: () => Promise<Omit<MachineFacts, "usb">>;
  /** Whether the wall clock may judge an order's time. */
  readonly clockTrusted: () => boolean;
  /** For the audit trail; with the plan in force then. */
  readonly audit: (news: LockdownReport, inForce: Plan | undefined) => void;
  /** Failures, also those that stop nothing. */
  readonly report: (fault: Fault) => void;
}

export interface LockdownSettings {
  readonly deviceId: DeviceId;
  /** The image's policy, before any other is confirmed; undefined when it can't be trusted: then everything is shut but the way to the hub. */
  readonly base: Policy | undefined;
}
