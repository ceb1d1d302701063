// The update service as the warden sees it, and what it needs of the warden and of the machine.
import type { Fault } from "../../hal/fault.ts";
import type { BootChoice, BootEnd, ChildProgram, Clock, DurableFiles, Power, Slots } from "../../hal/ports.ts";
import type { Floors } from "../../ota/floor/index.ts";
import type { ImageFacts } from "../../ota/format/image.ts";
import type { AuditRecorder } from "../audit/index.ts";
import type { VerbHandlers } from "../protocol/index.ts";
import type { TargetService } from "../targets/index.ts";
import type { UpdateStatus } from "./format.ts";

/** The order verbs that the update service carries out. */
export type UpdateOrderVerb = "update.approve" | "update.revert" | "system.reboot";

/** What an order says, once its signature was checked. */
export interface VerifiedOrder {
  readonly planHash?: string | undefined;
  /** The operator who gave it. */
  readonly by: string;
}

/** What one order verb is about, and what it does. */
export interface OrderExecutor {
  /**
   * The plan hash that an order must name now: an order for one release must not act on the next.
   * Undefined where it names none.
   */
  readonly planHash: () => string | undefined;
  /**
   * @throws Fault `update.not-waiting` when the order names another release than the one concerned;
   *   `power.failed`.
   */
  readonly execute: (order: VerifiedOrder) => Promise<void>;
}

export interface Updates {
  readonly verbs: Pick<VerbHandlers, "update.read" | "update.begin" | "update.write" | "update.abandon">;
  /**
   * [OTA-66] `update.approve` lets the release that waits go on, `update.revert` ends the one under
   * way, `system.reboot` records its reason and asks for an orderly reboot.
   */
  readonly orders: Readonly<Record<UpdateOrderVerb, OrderExecutor>>;
  status(): UpdateStatus;
  /**
   * [OTA-35] Call once when the program starts: the slot that really booted settles what was
   * pending. Never rejects.
   */
  settle(): Promise<void>;
  /**
   * The lowest counters that may still be installed, by line.
   * @throws Fault `floor.*`: no release may be installed then. [OTA-36]
   */
  floors(): ReadonlyMap<string, number>;
  /**
   * Checks the health of a system under trial now, because something it is judged by has happened.
   * [OTA-43]
   */
  nudge(): void;
  troubles(): readonly Fault[];
  /** Resolves when the installer is gone. An update under way goes on with the next start. */
  stop(): Promise<void>;
}

/** A check that a new system must pass before it is committed. [OTA-43] */
export type CheckName = "agent" | "hub" | "lockdown";

export interface CheckResult {
  readonly verdict: "waiting" | "passed" | "failed";
  readonly detail: string;
}

/** What the warden itself saw in this boot; never what another program reports. [OTA-43] */
export interface HealthPorts {
  /** Whether the agent has greeted the warden. */
  readonly agentGreeted: () => boolean;
  /** Whether the hub has signed something fresh: a time, or a cosignature. */
  readonly hubHeard: () => boolean;
  /** Whether the policy in force is the one that should be. */
  readonly lockdown: () => CheckResult;
}

export interface UpdatePorts {
  /** A directory of its own, with the update record and the approval. */
  readonly files: DurableFiles;
  /** The fault where the floors cannot be read: every release is refused then. [OTA-36] */
  readonly floors: Floors | Fault;
  readonly slots: Pick<Slots, "running">;
  readonly boot: BootChoice;
  /** Undefined where nothing tells what ended a boot. [OTA-70] */
  readonly bootEnd?: BootEnd | undefined;
  readonly power: Power;
  readonly targets: Pick<TargetService, "find" | "payload" | "take">;
  /** Starts the program that writes a slot. @throws Fault `process.failed`. */
  readonly installer: () => Promise<ChildProgram>;
  /** Milliseconds since the kernel booted. */
  readonly uptimeMs: () => Promise<number>;
  /** An id that changes with each boot and stays the same within one. */
  readonly bootId: () => Promise<string>;
  readonly clock: Pick<Clock, "monotonicMs" | "sleep">;
  readonly health: HealthPorts;
  /** Records in the audit trail. Never throws. */
  readonly record: AuditRecorder;
  /** Reports to the journal. */
  readonly report: (fault: Fault) => void;
}

export interface UpdateSettings {
  /** Facts of the running image; undefined where the image has none. */
  readonly image: ImageFacts | undefined;
  /** `order`: a release that is written waits for an operator's order. [OTA-66] */
  readonly approval: "signed" | "order";
  readonly checks: readonly CheckName[];
  readonly trialMs: number;
}
