// What the warden does to the machine, put together: what it believes, which doors are open, what runs, and who may order it.
import { Fault } from "../hal/fault.ts";
import type { DeviceId } from "../hal/identity/format.ts";
import type {
  BootChoice,
  ChildProgram,
  Clock,
  HandoverReader,
  DurableFiles,
  Firewall,
  Network,
  Power,
  Slots,
  UsbTree,
} from "../hal/ports.ts";
import { type Floors, floorsOf, openFloors } from "../ota/floor/index.ts";
import type { ImageFacts } from "../ota/image/format.ts";
import type { TrustedMetadata } from "../ota/trust/index.ts";
import type { AuditEntry } from "./audit/format/index.ts";
import { type HubEndpoint, type LockdownService, startLockdown } from "./lockdown/index.ts";
import { openOrders } from "./orders/index.ts";
import type { OrderVerb } from "./orders/format/index.ts";
import type { LockdownState } from "./lockdown/format/index.ts";
import type { UpdateStatus } from "./update/format.ts";
import { openTargetService, type TargetService } from "./targets/index.ts";
import { type CheckName, startUpdates, type Updates } from "./update/index.ts";
import type { ServiceVerbs } from "./verbs.ts";

/** The machine, as far as these parts need it. */
export interface MachinePorts {
  /** Directories of their own. */
  readonly files: { readonly targets: DurableFiles; readonly lockdown: DurableFiles; readonly update: DurableFiles };
  readonly handover: HandoverReader;
  /** undefined: there is none, as the configuration says. */
  readonly firewall: Firewall | undefined;
  readonly usb: UsbTree;
  readonly network: Network;
  readonly slots: Pick<Slots, "running">;
  readonly boot: BootChoice;
  readonly power: Power;
  /** Starts the program that writes a slot. */
  readonly installer: () => Promise<ChildProgram>;
  /** Since the kernel's boot, milliseconds. */
  readonly uptimeMs: () => Promise<number>;
  /** Another one after each boot, the same within one. */
  readonly bootId: () => Promise<string>;
}

/** What the image and the configuration say. */
export interface MachineSettings {
  /** Undefined where the image says nothing of itself: then no release fits its hardware. */
  readonly image: ImageFacts | undefined;
  readonly trustRoot: Uint8Array | undefined;
  readonly basePolicy: Uint8Array | undefined;
  readonly hubEndpoints: readonly HubEndpoint[];
  readonly console: string | undefined;
  readonly approval: "signed" | "order";
  readonly checks: readonly CheckName[];
  readonly trialMs: number;
}

export interface ServicesOptions {
  readonly ports: MachinePorts;
  readonly settings: MachineSettings;
  readonly deviceId: DeviceId;
  readonly clock: Clock;
  readonly clockTrusted: () => boolean;
  /** What is believed of the repository, at the start and after each cycle. */
  readonly onTrusted: (trusted: TrustedMetadata) => void;
  /** Never throws. */
  readonly note: (entry: AuditEntry) => Promise<void>;
  readonly report: (fault: Fault) => void;
}

export interface Services {
  readonly verbs: ServiceVerbs;
  lockdown(): LockdownState;
  update(): UpdateStatus;
  /** [OTA-43] What the health of a new system is judged by: the agent has greeted us, the hub has signed something fresh. */
  saw(what: "agent" | "hub"): void;
  troubles(): readonly Fault[];
  stop(): Promise<void>;
}

/** No hardware is called so: releases name what they are for. [OTA-11] */
const UNKNOWN_HARDWARE = "unknown";

/** Resolves when the doors are shut that should be, and what was left of an update is settled: the agent is answered after that. */
export async function openServices(options: ServicesOptions): Promise<Services> {
  const { ports, settings, deviceId, clock, clockTrusted, note, report } = options;
  const seen = { agent: false, hub: false };
  const floors = await floorsOrWhyNot(ports.files.update);
  const targets = await openTargetService({
    files: ports.files.targets,
    imageRoot: settings.trustRoot,
    handover: ports.handover,
    clock,
    clockTrusted,
    deviceId,
    hardware: settings.image?.hardware ?? UNKNOWN_HARDWARE,
    floors: () => {
      if (floors instanceof Fault) throw floors;
      return floorsOf(floors.record());
    },
    onTrusted: options.onTrusted,
    note,
    report,
  });
  const lockdown = await startLockdown({
    firewall: ports.firewall,
    usb: ports.usb,
    network: ports.network,
    files: ports.files.lockdown,
    clock,
    deviceId,
    console: settings.console,
    hubEndpoints: settings.hubEndpoints,
    base: settings.basePolicy,
    clockTrusted,
    policy: () => targets.policy(),
    record: note,
    report,
  });
  const updates = await startUpdates(
    {
      files: ports.files.update,
      floors,
      slots: ports.slots,
      boot: ports.boot,
      power: ports.power,
      targets,
      installer: ports.installer,
      uptimeMs: ports.uptimeMs,
      bootId: ports.bootId,
      clock,
      health: { agentGreeted: () => seen.agent, hubHeard: () => seen.hub, lockdown: () => lockdown.healthy() },
      note,
      report,
    },
    settings,
  );
  await updates.settle();
  return {
    verbs: { ...targets.verbs, ...lockdown.verbs, ...updates.verbs, ...ordersOf(options, targets, lockdown, updates).verbs },
    lockdown: () => lockdown.state(),
    update: () => updates.status(),
    saw: (what) => {
      seen[what] = true;
      updates.nudge();
    },
    troubles: () => [...targets.troubles(), ...lockdown.troubles(), ...updates.troubles()],
    stop: async () => {
      await updates.stop();
      await lockdown.stop();
    },
  };
}

/** [OTA-36] Floors that can't be read refuse every release; the rest goes on. */
async function floorsOrWhyNot(files: DurableFiles): Promise<Floors | Fault> {
  try {
    return await openFloors(files);
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
}

function ordersOf(
  { deviceId, clock, clockTrusted, note }: ServicesOptions,
  targets: TargetService,
  lockdown: LockdownService,
  updates: Updates,
): ReturnType<typeof openOrders> {
  return openOrders({
    deviceId,
    clock,
    clockTrusted,
    roster: () => targets.roster(),
    planHash: (verb: OrderVerb) =>
      verb === "update.approve" ? updates.awaits() : verb === "update.revert" ? updates.revertible() : undefined,
    executors: {
      "system.reboot": ({ by }) => updates.reboot(`ordered by ${by}`),
      "update.approve": (order) => updates.approve(order),
      "update.revert": (order) => updates.revert(order),
    },
    lockdown,
    record: note,
  });
}
