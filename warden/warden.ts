// The warden: settles who the machine is, opens the log, then answers the agent. Everything it touches comes in as ports.
import { asFault, Fault } from "../hal/fault.ts";
import type { BirthRecord, DeviceIdentity } from "../hal/format/identity.ts";
import { createTokenBucket } from "../hal/rate-limit.ts";
import type { AppendFiles, DurableFiles, Hardware, SettableClock, Vitals } from "../hal/ports.ts";
import { timeFloor } from "../ota/trust/index.ts";
import type { HubKeys } from "./anchors.ts";
import type { AuditDetail, AuditEntry } from "./audit/format/index.ts";
import { type AuditLimits, type AuditLog, openAuditLog } from "./audit/index.ts";
import { type BirthBook, birthBook, settleIdentity, recordBirth } from "./identity/index.ts";
import { type MachinePorts, type MachineSettings, openServices } from "./services.ts";
import { PROTOCOL_REQUESTS_PER_SECOND_MAX, WARDEN_TROUBLES_MAX } from "./protocol/format.ts";
import { appendAllowance, openProtocolSession, refusals, type ProtocolSession } from "./protocol/index.ts";
import { type ClockBounds, openTrustedClock, type TrustedClock } from "./time/index.ts";
import { wardenHandlers } from "./verbs.ts";

export interface WardenPorts {
  /** Records and the audit key; under the state lock. */
  readonly state: DurableFiles;
  readonly birth: DurableFiles;
  readonly auditLog: AppendFiles;
  readonly clock: SettableClock;
  readonly hardware: Hardware;
  readonly vitals: Vitals;
  readonly machine: MachinePorts;
  /** One line for the system's journal. */
  readonly say: (line: string) => void;
}

export interface WardenSettings {
  /** Name and version, for the greeting and the log. */
  readonly program: string;
  readonly bounds: ClockBounds;
  /** Undefined without hub anchors: then no time and no witness is believed. */
  readonly hubKeys: HubKeys | undefined;
  /** False when the clock's setting ends with this process (a simulated board): then that it was set is not remembered either. */
  readonly clockOutlivesUs: boolean;
  readonly audit: Partial<AuditLimits>;
  /** SHA-256 of the configuration in force, for the trail. */
  readonly configHash: string;
  readonly machine: MachineSettings;
  /** What already went wrong and does not stop the warden. */
  readonly troubles: readonly Fault[];
}

export interface Warden {
  readonly identity: DeviceIdentity;
  /** A conversation for one connection. */
  openSession(send: (line: string) => Promise<void>, signal: AbortSignal): ProtocolSession;
  /** A peer that was not even heard. */
  refused(fault: Fault): void;
  /** A failure of ours that stops nothing. */
  report(fault: Fault): void;
  /** Records the stop and closes the log. */
  stop(reason: string): Promise<void>;
}

/**
 * @throws Fault `identity.no-source` [ID-3]; `audit.*` when the log can't be kept; `file.*` for state that can't be read or written.
 */
export async function openWarden(ports: WardenPorts, settings: WardenSettings): Promise<Warden> {
  const { clock, say } = ports;
  const startedMonotonicMs = clock.monotonicMs();
  const bootId = await ports.hardware.bootId();
  const births = birthBook(ports.birth);
  const { identity, birth, troubles } = await settle(ports.hardware, births);
  const time = await openTime(ports, settings, identity, bootId);
  const log = await openLog(ports, settings, { identity, bootId, time });
  const sizeAtStart = log.head.size;

  const report = (fault: Fault): void => say(`trouble: ${fault.code}: ${fault.message}`);
  const note = async (entry: AuditEntry): Promise<void> => {
    try {
      await log.append(entry);
    } catch (error) {
      report(asFault(error, "audit.write-failed", `record "${entry.event}"`));
    }
  };
  const tell = async (record: BirthRecord): Promise<void> => {
    try {
      await recordBirth(ports.state, record, (entry) => log.append(entry));
    } catch (error) {
      report(asFault(error, "audit.write-failed", "record the birth; it will be tried again"));
    }
  };
  const tampered = log.tampered === undefined ? [] : [log.tampered];
  const known = [...tampered, ...troubles, ...settings.troubles].slice(0, WARDEN_TROUBLES_MAX);
  known.forEach(report);
  await noteStart(note, settings, identity, troubles);
  if (birth !== undefined) await tell(birth); // a crash may have come between the birth and its record
  const machine = await openServices({
    ports: ports.machine,
    settings: settings.machine,
    deviceId: identity.id,
    clock,
    clockTrusted: () => time.state().state !== "unset",
    onTrusted: (trusted) => time.raiseFloor(timeFloor(trusted, settings.bounds.floorMs, settings.bounds.ceilingMs)),
    note,
    report,
  });

  const handlers = wardenHandlers({
    allowance: appendAllowance(clock),
    births,
    bootId,
    clock,
    identity,
    log,
    note,
    report,
    startedMonotonicMs,
    tellBirth: tell,
    time,
    program: settings.program,
    vitals: ports.vitals,
    troubles: () => [...known, ...machine.troubles()].slice(0, WARDEN_TROUBLES_MAX),
    machine,
    sizeAtStart,
  });
  const bucket = createTokenBucket(clock, PROTOCOL_REQUESTS_PER_SECOND_MAX, 1000 / PROTOCOL_REQUESTS_PER_SECOND_MAX);
  const recorded = refusals((entry) => log.append(entry), clock, report);
  return {
    identity,
    report,
    openSession: (send, signal) => openProtocolSession({ handlers, bucket, refusals: recorded, report, send, signal }),
    refused: (fault) => void recorded.record("connect", fault),
    async stop(reason) {
      await machine.stop();
      await note({ event: "warden.stopped", result: "ok", detail: { reason } });
      await log.close();
    },
  };
}

/** A birth record that can't be read stops no one from being served; it stops a second identity from being made. [ID-6] */
async function settle(
  hardware: Hardware,
  births: BirthBook,
): Promise<{
  readonly identity: DeviceIdentity;
  readonly birth: BirthRecord | undefined;
  readonly troubles: readonly Fault[];
}> {
  const facts = await hardware.facts();
  const birth = await births.read().catch((error: unknown) => {
    if (error instanceof Fault && error.code === "birth.unreadable") return error;
    throw error;
  });
  const unreadable = birth instanceof Fault ? birth : undefined;
  const record: BirthRecord | undefined = birth instanceof Fault ? undefined : birth;
  const { identity, trouble } = settleIdentity(facts, record);
  return { identity, birth: record, troubles: [unreadable, trouble].filter((fault) => fault !== undefined) };
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
  who: { readonly identity: DeviceIdentity; readonly bootId: string; readonly time: TrustedClock },
): Promise<AuditLog> {
  return await openAuditLog({
    files: ports.auditLog,
    state: ports.state,
    clock: ports.clock,
    bootId: who.bootId,
    deviceId: who.identity.id,
    clockSynced: () => who.time.isSynced(),
    witness: settings.hubKeys?.witness,
    limits: settings.audit,
  });
}

async function noteStart(
  note: (entry: AuditEntry) => Promise<void>,
  settings: WardenSettings,
  identity: DeviceIdentity,
  troubles: readonly Fault[],
): Promise<void> {
  const said: AuditDetail = { id: identity.id, source: identity.source };
  const [trouble] = troubles;
  await Promise.all([
    note({ event: "warden.started", result: "ok", detail: { program: settings.program, pid: process.pid } }),
    note({ event: "config.loaded", result: "ok", detail: { sha256: settings.configHash } }),
    trouble === undefined
      ? note({ event: "identity.read", result: "ok", detail: said })
      : note({
          event: "identity.read",
          result: "failed",
          detail: { ...said, code: trouble.code, why: trouble.message.slice(0, 512) },
        }),
  ]);
}
