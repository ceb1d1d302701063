// The warden: settles the identity of the machine, opens the log and the services, then serves the
// agent. Everything it touches comes in as ports.
import { type DamageLog, tolerateDamage } from "../hal/damaged-files.ts";
import { asFault, Fault } from "../hal/fault.ts";
import type { BirthRecord, DeviceIdentity, Fingerprint } from "../hal/format/identity.ts";
import { clip } from "../hal/format/text.ts";
import type { AppendFiles, Clock, DurableFiles, Hardware, SettableClock, TpmChip, Vitals } from "../hal/ports.ts";
import { timeFloor } from "../ota/trust/index.ts";
import type { HubKeys } from "./anchors.ts";
import { type AuditDetail, type AuditEntry, decodeVerifier, verifierFingerprint } from "./audit/format/index.ts";
import type { EscrowKey } from "./escrow/format/index.ts";
import { type AuditLimits, type AuditLog, openAuditLog } from "./audit/index.ts";
import { type ChipServices, openChip } from "./chip-services.ts";
import { type ChipGuard, openChipGuard } from "./chip/index.ts";
import {
  type BirthBook,
  createBirthBook,
  createBoardWatch,
  createKeyUpgrades,
  readAdmittedBoard,
  settleIdentity,
  recordBirth,
} from "./identity/index.ts";
import { isResetUnderWay, type ResetChip } from "./reset/index.ts";
import { type MachinePorts, type MachineSettings, openServices, type Services } from "./services.ts";
import { WARDEN_TROUBLES_MAX } from "./protocol/format.ts";
import {
  createAppendAllowance,
  createRequestBudget,
  createProtocolSession,
  type ProtocolSession,
  createRefusalRecorder,
  type VerbHandlers,
} from "./protocol/index.ts";
import { type ClockBounds, openTrustedClock, type TrustedClock } from "./time/index.ts";
import type { ChipOwnership } from "./tpm/index.ts";
import { createWardenHandlers } from "./verbs.ts";

/** UTF-16 code units of a reason in an audit record. */
const WHY_CHARACTERS_MAX = 512;

export interface WardenPorts {
  /** Records and the audit key, under the state lock. */
  readonly state: DurableFiles;
  readonly birth: DurableFiles;
  readonly auditLog: AppendFiles;
  readonly clock: SettableClock;
  readonly hardware: Hardware;
  readonly vitals: Vitals;
  readonly machine: MachinePorts;
  /** Undefined where no TPM is configured. */
  readonly tpm: TpmChip | undefined;
  /** What was found wrong with state, before the warden was opened too. [STA-4] [STA-13] */
  readonly damage: DamageLog;
  /** Writes one line to the journal. */
  readonly say: (line: string) => void;
}

export interface WardenSettings {
  /** Name and version, for the hello and the log. */
  readonly program: string;
  readonly bounds: ClockBounds;
  /** Undefined without hub anchors: no time and no witness is trusted then. */
  readonly hubKeys: HubKeys | undefined;
  /**
   * False when the clock's setting ends with this process (a simulated board): it is not remembered
   * then that the clock was set.
   */
  readonly clockOutlivesUs: boolean;
  readonly audit: Partial<AuditLimits>;
  /** SHA-256 of the configuration in force, for the trail. */
  readonly configHash: string;
  readonly machine: MachineSettings;
  /** Whether a TPM of nobody is taken. */
  readonly tpmOwnership: "take" | "leave";
  /** Faults before the start that do not stop the warden. */
  readonly troubles: readonly Fault[];
  /** The owner's key for escrow; a Fault when it cannot be used; undefined when there is none. */
  readonly escrowKey: EscrowKey | Fault | undefined;
}

export interface Warden {
  readonly identity: DeviceIdentity;
  /** The fingerprint of the audit key, to compare at approval. [ID-26] */
  readonly auditKey: Fingerprint;
  /** Opens the conversation on one connection. */
  openSession(send: (line: string) => Promise<void>, signal: AbortSignal): ProtocolSession;
  /** Records a peer that was refused before it could send anything. */
  refused(fault: Fault): void;
  /** Reports to the journal a failure that stops nothing. */
  report(fault: Fault): void;
  /** Records the stop and closes the log. */
  stop(reason: string): Promise<void>;
}

/**
 * @throws Fault `identity.no-source` [ID-3]; `audit.*` when no log can be kept; `file.*` for state
 *   that cannot be read or written.
 */
export async function openWarden(ports: WardenPorts, settings: WardenSettings): Promise<Warden> {
  const { clock } = ports;
  const startedMonotonicMs = clock.monotonicMs();
  const bootId = await ports.hardware.bootId();
  const { damage } = ports;
  const state = tolerateDamage(ports.state, damage.report);
  const births = createBirthBook(ports.birth);
  const { identity, birth, unreadable, trouble } = await settle(ports, births);
  const troubles = [unreadable, trouble].filter((fault) => fault !== undefined);
  const time = await openTime({ ...ports, state }, settings, identity, bootId);
  const log = await openLog({ ...ports, state }, settings, { identity, bootId, time });
  const sizeAtStart = log.head.size;
  const recorder = createRecorder(log, { ...ports, state });
  const { record, report } = recorder;

  const atStart = [log.tampered, unreadable, ...settings.troubles].filter((fault) => fault !== undefined);
  [...atStart, ...(trouble === undefined ? [] : [trouble])].slice(0, WARDEN_TROUBLES_MAX).forEach(report);
  await recordStart(record, settings, identity, troubles);
  damage.listen((fault) => void record(damageEntry(fault)));
  const { hardware } = ports;
  const board = createBoardWatch({
    hardware,
    births,
    files: ports.birth,
    trouble,
    onOther: (fault) => record(otherBoardEntry(fault)),
  });
  await board.look();
  // a crash may have come between the birth and its record
  if (birth !== undefined) await recorder.recordBirth(birth);
  const clockTrusted = (): boolean => time.state().state !== "unset";
  // [TUN-73] a grant is removed by its age, and one reading of a clock ends nothing
  const keyUpgrades = createKeyUpgrades({ ...recorder, births, state, clock, clockTrusted: () => time.isSynced() });
  const { chip } = ports.machine;
  const guard = await openChipGuard({ chip, birth: () => births.read(), clock, record, report });
  // Beside the lockdown, which waits for no chip but for that first look.
  // [ID-73] A chip that is not the device's own is not taken: it may belong in another device. Nor
  // is one that a reset has handed back taken again before the wipe. [ID-58]
  const mayTake = guard.held() === undefined && !(await isResetUnderWay(state, ports.birth));
  const opening = openChip({ ...ports, state }, mayTake ? settings : { ...settings, tpmOwnership: "leave" }, recorder, {
    birth,
    log,
    deviceId: identity.id,
  });
  const services = await openServices({
    ports: { ...ports.machine, files: tolerant(ports.machine.files, damage) },
    settings: settings.machine,
    deviceId: identity.id,
    held: guard.held(),
    clock,
    clockTrusted,
    orders: { "key.upgrade": keyUpgrades.order },
    reset: {
      state,
      birthFiles: ports.birth,
      birth: () => births.known(),
      chip: chipOf(ports.tpm, opening),
      auditHead: () => log.head,
      bootId,
    },
    onTrusted: (trusted) => time.raiseFloor(timeFloor(trusted, settings.bounds.floorMs, settings.bounds.ceilingMs)),
    record,
    report,
  });
  guard.watch((reason) => services.hold(reason));
  const { ownership: tpm, escrow, adoption } = await opening;
  if (adoption !== undefined) atStart.push(adoption);
  const handlers = createWardenHandlers({
    ...recorder,
    allowance: createAppendAllowance(clock),
    births,
    board,
    keyUpgrades,
    bootId,
    clock,
    identity,
    log,
    startedMonotonicMs,
    time,
    program: settings.program,
    vitals: ports.vitals,
    troubles: () =>
      withDamage(
        [...guard.troubles(), ...board.troubles(), ...atStart, ...services.troubles(), ...(tpm?.troubles() ?? [])],
        damage.faults(),
      ).slice(0, WARDEN_TROUBLES_MAX),
    services,
    tpm,
    escrow,
    sizeAtStart,
  });
  return createWarden({ identity, clock, handlers, log, recorder, guard, services, tpm });
}

/** The chip as a reset sees it, which may begin before the chip is settled. */
function chipOf(tpm: TpmChip | undefined, opening: Promise<ChipServices>): ResetChip | undefined {
  if (tpm === undefined) return undefined;
  let opened: ChipOwnership | undefined;
  void opening.then(({ ownership }) => (opened = ownership));
  return {
    owner: () => {
      const state = opened?.state();
      return state === undefined ? "unknown" : state.present ? state.ownership : "none";
    },
    release: async () => (await (await opening).ownership?.release()) ?? [],
  };
}

function tolerant({ targets, lockdown, update }: MachinePorts["files"], { report }: DamageLog): MachinePorts["files"] {
  return {
    targets: tolerateDamage(targets, report),
    lockdown: tolerateDamage(lockdown, report),
    update: tolerateDamage(update, report),
  };
}

interface OpenedWarden {
  readonly identity: DeviceIdentity;
  readonly clock: Clock;
  readonly handlers: VerbHandlers;
  readonly log: AuditLog;
  readonly recorder: Recorder;
  readonly guard: ChipGuard;
  readonly services: Services;
  readonly tpm: ChipOwnership | undefined;
}

function createWarden({ identity, clock, handlers, log, recorder, guard, services, tpm }: OpenedWarden): Warden {
  const { record, report } = recorder;
  const budget = createRequestBudget(clock);
  const recordedRefusals = createRefusalRecorder((entry) => log.append(entry), clock, report);
  return {
    identity,
    auditKey: verifierFingerprint(decodeVerifier(log.auditKey)),
    report,
    openSession: (send, signal) => createProtocolSession({ handlers, budget, refusals: recordedRefusals, report, send, signal }),
    refused: (fault) => void recordedRefusals.record("connect", fault),
    async stop(reason) {
      await guard.stop();
      await services.stop();
      await tpm?.stop();
      await record({ event: "warden.stopped", result: "ok", detail: { reason } });
      await log.close();
    },
  };
}

interface Recorder {
  /**
   * Records an entry. One that the log cannot take is counted and goes to the journal. Never
   * throws.
   */
  readonly record: (entry: AuditEntry) => Promise<void>;
  readonly report: (fault: Fault) => void;
  /** Records the birth unless that was done before. Never throws. */
  readonly recordBirth: (record: BirthRecord) => Promise<void>;
}

function createRecorder(log: AuditLog, { say, state }: Pick<WardenPorts, "say" | "state">): Recorder {
  let lost = 0;
  const born = new Set<string>();
  const report = (fault: Fault): void => say(`trouble: ${fault.code}: ${fault.message}`);
  return {
    report,
    record: async (entry) => {
      try {
        await log.append(entry);
      } catch (error) {
        lost += 1;
        const { code, message } = asFault(error, "audit.write-failed", "append to the log");
        report(new Fault(code, `record "${entry.event}", number ${lost} lost since the start: ${message}`, { cause: error }));
      }
    },
    recordBirth: async (record) => {
      try {
        await recordBirth(state, record, (entry) => log.append(entry), born);
      } catch (error) {
        report(asFault(error, "audit.write-failed", "record the birth; the next start tries again"));
      }
    },
  };
}

/**
 * A birth record that cannot be read does not stop the warden; it prevents a second identity.
 * [ID-6]
 */
async function settle(
  { hardware, birth: files }: Pick<WardenPorts, "hardware" | "birth">,
  births: BirthBook,
): Promise<{
  readonly identity: DeviceIdentity;
  readonly birth: BirthRecord | undefined;
  readonly unreadable: Fault | undefined;
  readonly trouble: Fault | undefined;
}> {
  const facts = await hardware.facts();
  const birth = await births.read().catch((error: unknown) => {
    if (error instanceof Fault && error.code === "birth.unreadable") return error;
    throw error;
  });
  const unreadable = birth instanceof Fault ? birth : undefined;
  const record: BirthRecord | undefined = birth instanceof Fault ? undefined : birth;
  const { identity, trouble } = settleIdentity(facts, record, await readAdmittedBoard(files));
  return { identity, birth: record, unreadable, trouble };
}

async function openTime(
  ports: WardenPorts,
  settings: WardenSettings,
  identity: DeviceIdentity,
  bootId: string,
): Promise<TrustedClock> {
  return await openTrustedClock({
    clock: ports.clock,
    bounds: settings.bounds,
    deviceId: identity.id,
    timeKey: settings.hubKeys?.time,
    bootId,
    state: settings.clockOutlivesUs ? ports.state : undefined,
  });
}

async function openLog(
  ports: WardenPorts,
  settings: WardenSettings,
  machine: { readonly identity: DeviceIdentity; readonly bootId: string; readonly time: TrustedClock },
): Promise<AuditLog> {
  return await openAuditLog({
    files: ports.auditLog,
    state: ports.state,
    clock: ports.clock,
    bootId: machine.bootId,
    deviceId: machine.identity.id,
    clockSynced: () => machine.time.isSynced(),
    witness: settings.hubKeys?.witness,
    limits: settings.audit,
  });
}

/** With the damage that no trouble tells of: a service says more of the record that it needs. */
function withDamage(troubles: readonly Fault[], damage: readonly Fault[]): readonly Fault[] {
  const others = damage.filter(({ message }) => !troubles.some((told) => told.message.includes(message)));
  return [...new Map([...troubles, ...others].map((fault) => [fault.message, fault])).values()];
}

function otherBoardEntry({ message }: Fault): AuditEntry {
  return { event: "identity.other-board", result: "refused", detail: { why: clip(message, WHY_CHARACTERS_MAX) } };
}

function damageEntry({ code, message }: Fault): AuditEntry {
  return { event: "state.damaged", result: "failed", detail: { code, why: clip(message, WHY_CHARACTERS_MAX) } };
}

async function recordStart(
  record: (entry: AuditEntry) => Promise<void>,
  settings: WardenSettings,
  identity: DeviceIdentity,
  troubles: readonly Fault[],
): Promise<void> {
  const detail: AuditDetail = { id: identity.id, source: identity.source };
  const [trouble] = troubles;
  await Promise.all([
    record({ event: "warden.started", result: "ok", detail: { program: settings.program, pid: process.pid } }),
    record({ event: "config.loaded", result: "ok", detail: { sha256: settings.configHash } }),
    trouble === undefined
      ? record({ event: "identity.read", result: "ok", detail })
      : record({
          event: "identity.read",
          result: "failed",
          detail: { ...detail, code: trouble.code, why: clip(trouble.message, WHY_CHARACTERS_MAX) },
        }),
  ]);
}
