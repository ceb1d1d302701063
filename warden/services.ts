// The services that change the machine, put together: trust, lockdown, updates and orders.
import type { ChipReader } from "../hal/chip.ts";
import { Fault, type FaultCode } from "../hal/fault.ts";
import type { BirthRecord, DeviceId } from "../hal/format/identity.ts";
import type {
  BootChoice,
  BootEnd,
  ChildProgram,
  Clock,
  DeadManSwitch,
  DurableFiles,
  Firewall,
  HandoverReader,
  Network,
  Power,
  Slots,
  UsbEvents,
  UsbTree,
  WatchedFirewall,
} from "../hal/ports.ts";
import { type Floors, floorsOf, openFloors } from "../ota/floor/index.ts";
import type { ImageFacts } from "../ota/format/image.ts";
import type { TrustedMetadata } from "../ota/trust/index.ts";
import type { AuditEntry, AuditHead } from "./audit/format/index.ts";
import type { LockdownState } from "./lockdown/format/index.ts";
import { type HubEndpoint, type LockdownService, startLockdown } from "./lockdown/index.ts";
import type { OrderVerb } from "./orders/format/index.ts";
import { createOrders, type Executor, type Orders } from "./orders/index.ts";
import { openReset, type ResetChip, type ResetService } from "./reset/index.ts";
import { openTargetService, type TargetService } from "./targets/index.ts";
import type { UpdateStatus } from "./update/format.ts";
import { type CheckName, createReboot, type HealthPorts, startUpdates, type Updates } from "./update/index.ts";

/** The machine, as far as the services need it. */
export interface MachinePorts {
  /** A directory for each of these services. */
  readonly files: { readonly targets: DurableFiles; readonly lockdown: DurableFiles; readonly update: DurableFiles };
  readonly handover: HandoverReader;
  /** Undefined where the configuration says that there is none. */
  readonly firewall: Firewall | WatchedFirewall | undefined;
  /** Undefined where there is no firewall. */
  readonly deadManSwitch: DeadManSwitch | undefined;
  /** Tells the service manager that deadlines are served. Never throws. */
  readonly heartbeat: () => void;
  readonly usb: UsbTree;
  /** Undefined where this machine's events cannot be followed. */
  readonly usbEvents?: UsbEvents | undefined;
  /** Undefined where the configuration names no TPM. */
  readonly chip?: ChipReader | undefined;
  readonly network: Network;
  readonly slots: Pick<Slots, "running">;
  readonly boot: BootChoice;
  /** Undefined where nothing tells what ended a boot. */
  readonly bootEnd?: BootEnd | undefined;
  readonly power: Power;
  /** Starts the program that writes a slot. */
  readonly installer: () => Promise<ChildProgram>;
  /** Milliseconds since the kernel booted. */
  readonly uptimeMs: () => Promise<number>;
  /** An id that changes with each boot and stays the same within one. */
  readonly bootId: () => Promise<string>;
}

/** What the image and the configuration say. */
export interface MachineSettings {
  /** Undefined where the image has no facts: no release fits its hardware then. */
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
  /** [ID-72] Why the doors are shut from the start on. */
  readonly held: FaultCode | undefined;
  readonly clock: Clock;
  /** Whether the wall clock may judge dates. */
  readonly clockTrusted: () => boolean;
  /** Gets the trusted metadata at the start and after each update cycle. */
  readonly onTrusted: (trusted: TrustedMetadata) => void;
  /** Orders that are not about these services. */
  readonly orders: Readonly<
    Partial<Record<OrderVerb, { readonly planHash: () => string | undefined; readonly execute: Executor }>>
  >;
  /** What a factory reset needs to know of the rest of the warden. [ID-58] */
  readonly reset: {
    /** The warden's own directory. */
    readonly state: DurableFiles;
    /** The directory of the birth record. */
    readonly birthFiles: DurableFiles;
    readonly birth: () => BirthRecord | undefined;
    readonly chip: ResetChip | undefined;
    readonly auditHead: () => AuditHead;
    readonly bootId: string;
  };
  /** Records in the audit trail. Never throws. */
  readonly record: (entry: AuditEntry) => Promise<void>;
  /** Reports to the journal. */
  readonly report: (fault: Fault) => void;
}

export interface Services {
  readonly verbs: TargetService["verbs"] & LockdownService["verbs"] & Updates["verbs"] & Orders["verbs"] & ResetService["verbs"];
  lockdown(): LockdownState;
  update(): UpdateStatus;
  /**
   * [OTA-43] Notes a sign of health: the agent has greeted the warden, or the hub has signed
   * something fresh.
   */
  saw(what: "agent" | "hub"): void;
  /** [ID-72] Shuts the doors for `reason`, or opens them again when there is none. */
  hold(reason: FaultCode | undefined): Promise<void>;
  troubles(): readonly Fault[];
  stop(): Promise<void>;
}

/** What a reboot waits for the end of a policy's trial: some runs of nft. */
const TRIAL_ENDS_MS_MAX = 20_000;

/** No hardware has this name: a release lists the hardware that it is for. [OTA-11] */
const UNKNOWN_HARDWARE = "unknown";

/**
 * Resolves when the firewall is in force and a pending update is settled: the agent is served after
 * that.
 */
export async function openServices(options: ServicesOptions): Promise<Services> {
  const seen = { agent: false, hub: false };
  const floors = await floorsOrFault(options.ports.files.update);
  const targets = await openTargets(options, floors);
  const lockdown = await openLockdown(options, targets);
  const power = afterPolicyTrial(options.ports.power, lockdown, options.clock);
  const updates = await openUpdates({ ...options, ports: { ...options.ports, power } }, floors, {
    targets,
    health: { agentGreeted: () => seen.agent, hubHeard: () => seen.hub, lockdown: () => lockdown.healthy() },
  });
  const reset = await openResetService({ ...options, ports: { ...options.ports, power } }, updates);
  const orders = createOrderService(options, targets, lockdown, {
    ...updates.orders,
    ...options.orders,
    "system.wipe": reset.order,
  });
  return {
    verbs: { ...targets.verbs, ...lockdown.verbs, ...updates.verbs, ...orders.verbs, ...reset.verbs },
    lockdown: () => lockdown.state(),
    update: () => updates.status(),
    saw: (what) => {
      seen[what] = true;
      updates.nudge();
    },
    hold: (reason) => lockdown.hold(reason),
    troubles: () => [...reset.troubles(), ...targets.troubles(), ...lockdown.troubles(), ...updates.troubles()],
    stop: async () => {
      await reset.stop();
      await updates.stop();
      await lockdown.stop();
    },
  };
}

/**
 * [LCK-68] Every reboot that this program asks for first ends the trial of a policy, durably, so
 * that the policy is tried again after it. A lockdown that hangs does not hold up a reboot.
 */
function afterPolicyTrial(power: Power, lockdown: LockdownService, clock: Clock): Power {
  return {
    reboot: async (reason) => {
      const ended = new AbortController();
      const restarting = lockdown.restarting().finally(() => ended.abort());
      await Promise.race([restarting.catch(() => undefined), clock.sleep(TRIAL_ENDS_MS_MAX, ended.signal)]);
      try {
        await power.reboot(reason);
      } catch (error) {
        lockdown.staying();
        throw error;
      }
    },
  };
}

async function openTargets(options: ServicesOptions, floors: Floors | Fault): Promise<TargetService> {
  const { ports, settings, deviceId, clock, clockTrusted, onTrusted, record, report } = options;
  return await openTargetService({
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
    onTrusted,
    record,
    report,
  });
}

async function openLockdown(options: ServicesOptions, targets: TargetService): Promise<LockdownService> {
  const { ports, settings, deviceId, held, clock, clockTrusted, record, report } = options;
  return await startLockdown({
    firewall: ports.firewall,
    deadManSwitch: ports.deadManSwitch,
    heartbeat: ports.heartbeat,
    usb: ports.usb,
    usbEvents: ports.usbEvents,
    network: ports.network,
    files: ports.files.lockdown,
    clock,
    deviceId,
    console: settings.console,
    hubEndpoints: settings.hubEndpoints,
    base: settings.basePolicy,
    held,
    clockTrusted,
    policy: () => targets.policy(),
    record,
    report,
  });
}

async function openUpdates(
  { ports, settings, clock, record, report }: ServicesOptions,
  floors: Floors | Fault,
  { targets, health }: { readonly targets: TargetService; readonly health: HealthPorts },
): Promise<Updates> {
  const { slots, boot, bootEnd, power, installer, uptimeMs, bootId } = ports;
  const updates = await startUpdates(
    {
      files: ports.files.update,
      floors,
      slots,
      boot,
      bootEnd,
      power,
      targets,
      installer,
      uptimeMs,
      bootId,
      clock,
      health,
      record,
      report,
    },
    settings,
  );
  await updates.settle();
  return updates;
}

/** [OTA-36] With floors that cannot be read every release is refused; everything else goes on. */
async function floorsOrFault(files: DurableFiles): Promise<Floors | Fault> {
  try {
    return await openFloors(files);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    const remedy = "every release is refused until the record is put back on the device, which docs/operations.md tells how";
    return new Fault(error.code, `${error.message}; ${remedy}`, { cause: error }); // [OTA-27]
  }
}

async function openResetService(
  { ports, settings, deviceId, clock, record, report, reset }: ServicesOptions,
  updates: Updates,
): Promise<ResetService> {
  const { state, birthFiles, birth, chip, auditHead, bootId } = reset;
  return await openReset({
    state,
    marker: birthFiles,
    chip,
    clock,
    bootId,
    deviceId,
    version: settings.image?.version,
    birth,
    update: () => updates.status(),
    auditHead,
    restart: createReboot(ports.power, record),
    record,
    report,
  });
}

function createOrderService(
  { deviceId, clock, clockTrusted, record }: ServicesOptions,
  targets: TargetService,
  lockdown: LockdownService,
  executors: ServicesOptions["orders"],
): Orders {
  return createOrders({
    deviceId,
    clock,
    clockTrusted,
    roster: () => targets.roster(),
    planHash: (verb) => executors[verb]?.planHash(),
    executors: Object.fromEntries(Object.entries(executors).map(([verb, { execute }]) => [verb, execute])),
    lockdown,
    record,
  });
}
