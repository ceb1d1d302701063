// The agent-warden protocol: one request a line, JSON, a closed list of verbs. [OPS-1] [OPS-2]
// The agent is taken to be captured: no verb hands it a path, a command or a secret, and no verb weakens the machine.
import * as v from "valibot";
import { FAULT_CODES } from "../../hal/fault.ts";
import { birthRecordSchema, deviceIdentitySchema, fingerprintSchema, protectionSchema } from "../../hal/identity/format.ts";
import { hubTimeResponseSchema, nonceSchema } from "../../ota/time/format.ts";
import { auditEntrySchema, AUDIT_RECORD_BYTES_MAX, NOTE_BYTES_MAX, PROOF_HASHES_MAX } from "../audit/format/index.ts";

export const PROTOCOL_VERSION = 1;
/** A line with its newline, either way. */
export const PROTOCOL_LINE_BYTES_MAX = 65_536;
/** Records in one `audit.read` answer; fewer when the line would grow past its bound. */
export const AUDIT_READ_RECORDS_MAX = 64;
/** Requests one connection may have unanswered. */
export const PROTOCOL_PENDING_MAX = 32;
/** Requests a second, sustained, that the warden serves all connections of its socket together; bursts of as many. Faster peers are read slower. */
export const PROTOCOL_REQUESTS_PER_SECOND_MAX = 200;

export const WARDEN_TROUBLES_MAX = 16;

const safeCount = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const base64Schema = (bytesMax: number) =>
  v.pipe(v.string(), v.maxLength(Math.ceil(bytesMax / 3) * 4), v.base64("expected base64"));
const noteSchema = v.pipe(v.string(), v.maxLength(NOTE_BYTES_MAX));
const nothing = v.strictObject({});

export const faultSchema = v.strictObject({ code: v.picklist(FAULT_CODES), message: v.pipe(v.string(), v.maxLength(2048)) });
export type FaultReport = v.InferOutput<typeof faultSchema>;

/** How far the log is, and how far the hub has witnessed it. */
export const auditHeadSchema = v.strictObject({
  size: safeCount,
  /** Size of the last checkpoint the hub cosigned; 0 before the first. */
  witnessedSize: safeCount,
  /** Records dropped for want of space, ever. */
  dropped: safeCount,
});
export type AuditHead = v.InferOutput<typeof auditHeadSchema>;

export const clockStateSchema = v.strictObject({
  /** `unset`: below the floor or beyond build date + 15 years; `unverified`: plausible, not from the hub; `synced`: set from signed hub time in this boot. */
  state: v.picklist(["unset", "unverified", "synced"]),
  nowMs: v.pipe(v.number(), v.safeInteger()),
  floorMs: safeCount,
});
export type ClockState = v.InferOutput<typeof clockStateSchema>;

/** Each verb with what it takes and what it answers. The whole list: [OPS-2]. */
export const WARDEN_VERBS = {
  /** First on every connection: both sides know whom they talk to. */
  hello: {
    args: v.strictObject({ protocol: v.literal(PROTOCOL_VERSION), program: v.pipe(v.string(), v.maxLength(64)) }),
    result: v.strictObject({
      protocol: v.literal(PROTOCOL_VERSION),
      program: v.pipe(v.string(), v.maxLength(64)),
      bootId: v.pipe(v.string(), v.maxLength(36)),
    }),
  },
  /** Who the machine is, and the record of its first identity, if it has one. */
  "identity.read": {
    args: nothing,
    result: v.strictObject({
      identity: deviceIdentitySchema,
      birth: v.optional(birthRecordSchema),
      /** C2SP verifier key of the audit log: goes into the CSR. [AUD-7] */
      auditKey: v.pipe(v.string(), v.maxLength(256)),
    }),
  },
  /** Writes the birth record; a second one with other content is refused. [ID-6] */
  "birth.record": {
    args: v.strictObject({ protection: protectionSchema, keyFingerprint: fingerprintSchema }),
    result: birthRecordSchema,
  },
  /** Appends what the agent saw, marked as said by the agent. Answers when it is durable. */
  "audit.append": { args: auditEntrySchema, result: v.strictObject({ seq: safeCount }) },
  /** Whole encoded records from `from`, base64, as many as fit. */
  "audit.read": {
    args: v.strictObject({ from: safeCount, count: v.pipe(safeCount, v.minValue(1), v.maxValue(AUDIT_READ_RECORDS_MAX)) }),
    result: v.strictObject({
      from: safeCount,
      records: v.pipe(v.array(base64Schema(AUDIT_RECORD_BYTES_MAX)), v.maxLength(AUDIT_READ_RECORDS_MAX)),
    }),
  },
  /** A checkpoint of the log at `size` (undefined: as it stands), signed, with the proof that it continues the tree of `oldSize`. */
  "audit.checkpoint": {
    args: v.strictObject({ oldSize: safeCount, size: v.optional(safeCount) }),
    result: v.strictObject({
      oldSize: safeCount,
      size: safeCount,
      checkpoint: noteSchema,
      proof: v.pipe(v.array(base64Schema(32)), v.maxLength(PROOF_HASHES_MAX)),
    }),
  },
  /** The hub's cosignature: checked by the warden against the witness key before it counts. [AUD-8] */
  "audit.cosigned": { args: v.strictObject({ checkpoint: noteSchema }), result: auditHeadSchema },
  /** What the warden knows of the machine's state. */
  "status.read": {
    args: nothing,
    result: v.strictObject({
      startedMonotonicMs: safeCount,
      uptimeS: safeCount,
      audit: auditHeadSchema,
      clock: clockStateSchema,
      residentBytes: safeCount,
      /** What of the warden does not work; absent when all is well. */
      troubles: v.optional(v.pipe(v.array(faultSchema), v.maxLength(WARDEN_TROUBLES_MAX))),
    }),
  },
  /** A fresh nonce for hub time, good once and for 60 s. [ID-10] */
  "time.nonce": { args: nothing, result: v.strictObject({ nonce: nonceSchema }) },
  /** The hub's signed answer: verified here, then the clock is set. [ID-10] */
  "time.set": { args: hubTimeResponseSchema, result: clockStateSchema },
} as const;

export type WardenVerb = keyof typeof WARDEN_VERBS;
export type WardenArgs<V extends WardenVerb> = v.InferOutput<(typeof WARDEN_VERBS)[V]["args"]>;
export type WardenResult<V extends WardenVerb> = v.InferOutput<(typeof WARDEN_VERBS)[V]["result"]>;

export function isWardenVerb(verb: string): verb is WardenVerb {
  return Object.hasOwn(WARDEN_VERBS, verb);
}

/** Chosen by the caller, echoed in the answer. */
export const requestIdSchema = v.pipe(v.number(), v.safeInteger(), v.minValue(1));

/** An object of its own members. valibot takes a list for one, and drops members that every object inherits instead of refusing them as unknown. */
const plainObject = v.pipe(
  v.unknown(),
  v.check((value) => !Array.isArray(value), "expected an object, not a list"),
  v.check(
    (value) => typeof value !== "object" || value === null || !Object.keys(value).some((name) => name in Object.prototype),
    "expected no member that every object inherits",
  ),
  v.record(v.string(), v.unknown()),
);

export const wardenRequestSchema = v.strictObject({
  id: requestIdSchema,
  verb: v.pipe(v.string(), v.maxLength(64)),
  args: plainObject,
});

export const wardenAnswerSchema = v.union([
  v.strictObject({ id: requestIdSchema, result: v.record(v.string(), v.unknown()) }),
  /** `id` 0: the line could not be read as a request at all; the connection ends. */
  v.strictObject({ id: v.pipe(v.number(), v.safeInteger(), v.minValue(0)), fault: faultSchema }),
]);
