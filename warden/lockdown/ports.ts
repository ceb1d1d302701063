// What the lockdown needs from the warden and the machine.
import type { Fault, FaultCode } from "../../hal/fault.ts";
import type { DeviceId } from "../../hal/format/identity.ts";
import type { Clock, DeadManSwitch, DurableFiles } from "../../hal/ports.ts";
import type { Executors } from "./apply.ts";
import type { Plan, Policy } from "./format/index.ts";
import type { LockdownReport } from "./machine.ts";
import type { MachineFacts } from "./machine-facts.ts";

export interface LockdownPorts extends Executors {
  readonly files: DurableFiles;
  readonly clock: Clock;
  /** Undefined where nothing is filtered. [LCK-15] */
  readonly deadManSwitch: DeadManSwitch | undefined;
  /** Reads the facts of the machine except its USB tree. */
  readonly readFacts: () => Promise<Omit<MachineFacts, "usb">>;
  /** Whether the wall clock may judge an order's time. */
  readonly clockTrusted: () => boolean;
  /** Records an event in the audit trail; `inForce` is the plan in force at that moment. */
  readonly audit: (report: LockdownReport, inForce: Plan | undefined) => void;
  /** Receives failures, including those that stop nothing. */
  readonly report: (fault: Fault) => void;
}

export interface LockdownSettings {
  readonly deviceId: DeviceId;
  /**
   * The image's policy, which holds until another one is confirmed. Undefined when it cannot be
   * trusted: then everything is shut except the way to the hub.
   */
  readonly base: Policy | undefined;
  /** [ID-72] Why the doors are shut from the start on. Undefined: they are as the policy says. */
  readonly held?: FaultCode | undefined;
}
