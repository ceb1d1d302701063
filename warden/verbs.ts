// What the agent can ask the warden, verb by verb. The agent is taken to be captured: each handler must hold against a hostile one. [OPS-2]
import { Fault } from "../hal/fault.ts";
import type { BirthRecord, DeviceIdentity } from "../hal/format/identity.ts";
import type { Clock, Vitals } from "../hal/ports.ts";
import { AUDIT_EVENTS, type AuditEntry } from "./audit/format/index.ts";
import type { AuditLog } from "./audit/index.ts";
import type { Services } from "./services.ts";
import type { BirthBook } from "./identity/index.ts";
import { PROTOCOL_LINE_BYTES_MAX, PROTOCOL_VERSION, type WardenResult } from "./protocol/format.ts";
import { type Allowance, ANSWER_ENVELOPE_BYTES, type VerbHandlers } from "./protocol/index.ts";
import type { TrustedClock } from "./time/index.ts";

export interface VerbPorts {
  readonly program: string;
  readonly bootId: string;
  readonly identity: DeviceIdentity;
  readonly births: BirthBook;
  readonly log: AuditLog;
  /** What the agent may still append. */
  readonly allowance: Allowance;
  readonly time: TrustedClock;
  readonly clock: Clock;
  readonly vitals: Vitals;
  readonly startedMonotonicMs: number;
  /** What does not work, as it stands. */
  readonly troubles: () => readonly Fault[];
  /** Records what the warden did; what the log can't take goes to the journal, the deed stands. */
  readonly note: (entry: AuditEntry) => Promise<void>;
  readonly machine: Pick<Services, "verbs" | "lockdown" | "update" | "saw">;
  /** Of the log, when this warden opened it. */
  readonly sizeAtStart: number;
  /** Sees to it that the trail has the birth. Never throws. */
  readonly tellBirth: (record: BirthRecord) => Promise<void>;
  /** Tells the journal of a failure that stops nothing. */
  readonly report: (fault: Fault) => void;
}

/** Verbs of parts that bring them themselves, each from the `verbs.ts` of its folder. */
export type ServiceVerbs = Omit<VerbHandlers, OwnVerb>;
type OwnVerb =
  | "hello"
  | "identity.read"
  | "birth.record"
  | "audit.append"
  | "audit.read"
  | "audit.checkpoint"
  | "audit.cosigned"
  | "status.read"
  | "time.nonce"
  | "time.set";

export function wardenHandlers(parts: VerbPorts): VerbHandlers {
  const { program, bootId, identity, births, log, allowance, time, note, report, machine } = parts;
  return {
    hello: async () => {
      machine.saw("agent");
      return { protocol: PROTOCOL_VERSION, program, bootId };
    },
    "identity.read": async () => {
      const birth = await births.read();
      return { identity, auditKey: log.auditKey, ...(birth === undefined ? {} : { birth }) };
    },
    "birth.record": async (key) => {
      const record = await births.record(identity, key);
      await parts.tellBirth(record);
      return record;
    },
    "audit.append": async (entry) => {
      // [AUD-2] what only the warden knows, only the warden says
      if (AUDIT_EVENTS[entry.event].source !== "agent")
        throw new Fault("audit.unknown-event", `the agent can't report "${entry.event}": it is the warden's to say`);
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
      // only the first: a record of every cosignature would itself want one, for ever
      // [OTA-43] it has seen what was written in this boot: nobody can have kept that cosignature from before
      if (head.witnessedSize > parts.sizeAtStart) machine.saw("hub");
      if (before === 0 && head.witnessedSize > 0)
        await note({ event: "audit.witnessed", result: "ok", detail: { size: head.witnessedSize } });
      return log.head;
    },
    "status.read": async () => await status(parts),
    "time.nonce": async () => ({ nonce: time.nonce() }),
    "time.set": async (response) => {
      const fromMs = parts.clock.nowMs();
      const { stepMs, forgetful } = await time.set(response);
      machine.saw("hub");
      if (forgetful !== undefined) report(forgetful);
      await note({
        event: "time.set",
        result: "ok",
        principal: "agent",
        detail: { stepMs, from: new Date(fromMs).toISOString(), to: response.time },
      });
      return time.state();
    },
    ...machine.verbs,
  };
}

async function status({
  log,
  time,
  vitals,
  startedMonotonicMs,
  troubles,
  machine,
}: VerbPorts): Promise<WardenResult<"status.read">> {
  const { uptimeS, residentBytes } = await vitals.read();
  const broken = troubles().map(({ code, message }) => ({ code, message }));
  return {
    startedMonotonicMs: Math.floor(startedMonotonicMs),
    uptimeS: Math.floor(uptimeS),
    audit: log.head,
    clock: time.state(),
    residentBytes,
    lockdown: machine.lockdown(),
    update: machine.update(),
    ...(broken.length === 0 ? {} : { troubles: broken }),
  };
}

/** As many of `records` as one answer line holds; at least one always does. [OPS-1] */
function fitting(records: readonly Uint8Array[]): string[] {
  let room = PROTOCOL_LINE_BYTES_MAX - ANSWER_ENVELOPE_BYTES;
  const fit: string[] = [];
  for (const record of records) {
    const text = base64(record);
    room -= text.length + 3; // its quotes and comma
    if (room < 0) break;
    fit.push(text);
  }
  return fit;
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}
