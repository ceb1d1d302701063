// The handlers of the protocol, verb by verb. The agent is assumed to be captured: each handler
// must withstand a hostile one. [OPS-2]
import { Fault } from "../hal/fault.ts";
import type { FaultReport } from "../hal/format/fault.ts";
import { defined } from "../hal/format/defined.ts";
import { singleLine } from "../hal/format/text.ts";
import type { BirthRecord, DeviceIdentity } from "../hal/format/identity.ts";
import type { Clock, Vitals } from "../hal/ports.ts";
import { AUDIT_EVENTS, type AuditEntry, decodeVerifier, verifierFingerprint } from "./audit/format/index.ts";
import type { AuditLog } from "./audit/index.ts";
import type { Escrow } from "./escrow/index.ts";
import type { Services } from "./services.ts";
import type { BirthBook, BoardWatch, KeyUpgrades } from "./identity/index.ts";
import { PROTOCOL_LINE_BYTES_MAX, PROTOCOL_VERSION, WARDEN_TROUBLES_MAX, type WardenResult } from "./protocol/format.ts";
import { ANSWER_ENVELOPE_BYTES, type AppendAllowance, type VerbHandlers } from "./protocol/index.ts";
import type { TrustedClock } from "./time/index.ts";
import { NO_TPM } from "./tpm/format.ts";
import type { ChipOwnership } from "./tpm/index.ts";

/** So that all troubles together, with every character escaped, fit into one line. [STA-10] */
const TROUBLE_CHARACTERS_MAX = 512;

export interface WardenVerbPorts {
  readonly program: string;
  readonly bootId: string;
  readonly identity: DeviceIdentity;
  readonly births: BirthBook;
  readonly board: Pick<BoardWatch, "look">;
  readonly keyUpgrades: Pick<KeyUpgrades, "verbs" | "grant">;
  readonly log: AuditLog;
  /** The limiter `appended-bytes`. */
  readonly allowance: AppendAllowance;
  readonly time: TrustedClock;
  readonly clock: Clock;
  readonly vitals: Vitals;
  readonly startedMonotonicMs: number;
  /** What does not work now. */
  readonly troubles: () => readonly Fault[];
  /**
   * Records what the warden did. A record that the log cannot take goes to the journal, and the
   * action stands. Never throws.
   */
  readonly record: (entry: AuditEntry) => Promise<void>;
  readonly services: Pick<Services, "verbs" | "lockdown" | "update" | "saw">;
  /** Undefined where no TPM is configured. */
  readonly tpm: Pick<ChipOwnership, "state" | "details"> | undefined;
  readonly escrow: Pick<Escrow, "state" | "confirm">;
  /** Records in the log when this warden opened it. */
  readonly sizeAtStart: number;
  /** Records the birth in the trail unless that was done before. Never throws. */
  readonly recordBirth: (record: BirthRecord) => Promise<void>;
  /** Reports to the journal a failure that stops nothing. */
  readonly report: (fault: Fault) => void;
}

export function createWardenHandlers(ports: WardenVerbPorts): VerbHandlers {
  const { program, bootId, identity, births, log, allowance, time, record, report, services } = ports;
  return {
    hello: async () => {
      services.saw("agent");
      return { protocol: PROTOCOL_VERSION, program, bootId };
    },
    "identity.read": async () => {
      const birth = await births.read();
      const board = await ports.board.look();
      return { identity, auditKey: log.auditKey, ...defined({ birth, board }) };
    },
    "birth.record": async (key) => {
      const record = await births.record(identity, key);
      await ports.recordBirth(record);
      return record;
    },
    "audit.append": async (entry) => {
      // [AUD-2] an event that only the warden can know is recorded by the warden alone
      if (AUDIT_EVENTS[entry.event].source !== "agent")
        throw new Fault("audit.unknown-event", `the agent cannot report "${entry.event}": only the warden records it`);
      allowance.spend(entry);
      return { seq: await log.append(entry) };
    },
    "audit.read": async ({ from, count }) => ({ from, records: fitting(await log.read(from, count)) }),
    "audit.checkpoint": async ({ oldSize, size }) => {
      const { proof, ...rest } = await log.checkpoint(oldSize, size);
      return { oldSize, ...rest, proof: proof.map((hash) => base64(hash)) };
    },
    "audit.cosigned": async ({ checkpoint }) => {
      const { witnessedSize: before } = log.head;
      const head = await log.cosigned(checkpoint);
      // [OTA-43] the cosignature covers records of this boot, so it is not an old one replayed
      if (head.witnessedSize > ports.sizeAtStart) services.saw("hub");
      // only the first is recorded: a record of every cosignature would need a cosignature itself
      if (before === 0 && head.witnessedSize > 0)
        await record({ event: "audit.witnessed", result: "ok", detail: { size: head.witnessedSize } });
      return log.head;
    },
    "status.read": async () => await readStatus(ports),
    "tpm.escrow": async () => ports.escrow.state(),
    "tpm.escrowed": async ({ note }) => {
      await ports.escrow.confirm(note);
      return { escrowed: true };
    },
    "tpm.read": async () => ports.tpm?.details() ?? NO_TPM,
    "time.nonce": async () => ({ nonce: time.nonce() }),
    "time.set": async (response) => {
      const fromMs = ports.clock.nowMs();
      const { stepMs, noteworthy, forgetful } = await time.set(response);
      services.saw("hub");
      if (forgetful !== undefined) report(forgetful);
      if (noteworthy)
        await record({
          event: "time.set",
          result: "ok",
          principal: "agent",
          detail: { stepMs, from: new Date(fromMs).toISOString(), to: response.time },
        });
      return time.state();
    },
    ...ports.keyUpgrades.verbs,
    ...services.verbs,
  };
}

/** [STA-10] The troubles as `status.read` answers them: bounded, and printable. */
export function troublesForStatus(troubles: readonly Fault[]): FaultReport[] {
  return troubles
    .slice(0, WARDEN_TROUBLES_MAX)
    .map(({ code, message }) => ({ code, message: singleLine(message, TROUBLE_CHARACTERS_MAX) }));
}

async function readStatus({
  log,
  time,
  vitals,
  startedMonotonicMs,
  troubles,
  services,
  keyUpgrades,
  tpm,
}: WardenVerbPorts): Promise<WardenResult<"status.read">> {
  const { uptimeS, residentBytes } = await vitals.read();
  // a birth record that cannot be read is a trouble of its own
  const keyUpgrade = await keyUpgrades.grant().catch(() => undefined);
  const broken = troublesForStatus(troubles());
  return {
    startedMonotonicMs: Math.floor(startedMonotonicMs),
    uptimeS: Math.floor(uptimeS),
    audit: log.head,
    clock: time.state(),
    auditKey: verifierFingerprint(decodeVerifier(log.auditKey)),
    residentBytes,
    lockdown: services.lockdown(),
    update: services.update(),
    ...(keyUpgrade === undefined ? {} : { keyUpgrade }),
    ...(tpm === undefined ? {} : { tpm: tpm.state() }),
    ...(broken.length === 0 ? {} : { troubles: broken }),
  };
}

/** As many of `records` as one answer line holds; one record always fits. [OPS-1] */
function fitting(records: readonly Uint8Array[]): string[] {
  let bytesLeft = PROTOCOL_LINE_BYTES_MAX - ANSWER_ENVELOPE_BYTES;
  const fit: string[] = [];
  for (const record of records) {
    const text = base64(record);
    bytesLeft -= text.length + 3; // with its quotes and its comma
    if (bytesLeft < 0) break;
    fit.push(text);
  }
  return fit;
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}
