// What updates need of the warden and of the machine.
import type { Fault } from "../../hal/fault.ts";
import type { BootChoice, ChildProgram, Clock, DurableFiles, Power, Slots } from "../../hal/ports.ts";
import type { Floors } from "../../ota/floor/index.ts";
import type { ImageFacts } from "../../ota/image/format.ts";
import type { AuditRecorder } from "../audit/index.ts";
import type { TargetService } from "../targets/index.ts";

/** What a new system can be asked to show before it is committed. [OTA-43] */
export type CheckName = "agent" | "hub" | "lockdown";

export interface CheckResult {
  readonly verdict: "waiting" | "passed" | "failed";
  readonly detail: string;
}

/** What the warden saw itself in this boot, never what somebody says. [OTA-43] */
export interface HealthPorts {
  /** The agent has greeted us. */
  readonly agentGreeted: () => boolean;
  /** The hub has signed something fresh: time, or a cosignature. */
  readonly hubHeard: () => boolean;
  /** Whether what is in force is what should be. */
  readonly lockdown: () => CheckResult;
}

export interface UpdatePorts {
  /** A directory of its own: where the update is, and what was approved. */
  readonly files: DurableFiles;
  /** Or why there are none: then every release is refused. [OTA-36] */
  readonly floors: Floors | Fault;
  readonly slots: Pick<Slots, "running">;
  readonly boot: BootChoice;
  readonly power: Power;
  readonly targets: Pick<TargetService, "find" | "payload" | "take">;
  /** Starts the program that writes a slot. @throws Fault `process.failed`. */
  readonly installer: () => Promise<ChildProgram>;
  /** Since the kernel's boot, milliseconds. */
  readonly uptimeMs: () => Promise<number>;
  /** Another one after each boot, the same within one. */
  readonly bootId: () => Promise<string>;
  readonly clock: Pick<Clock, "monotonicMs" | "sleep">;
  readonly health: HealthPorts;
  /** For the audit trail. Never throws. */
  readonly note: AuditRecorder;
  /** For the journal. */
  readonly report: (fault: Fault) => void;
}

export interface UpdateSettings {
  /** Of the image that runs; undefined where it says nothing of itself. */
  readonly image: ImageFacts | undefined;
  /** `order`: what is written waits for an operator's order. [OTA-41] */
  readonly approval: "signed" | "order";
  readonly checks: readonly CheckName[];
  readonly trialMs: number;
}
