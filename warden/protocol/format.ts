// The agent-warden protocol: one request a line, JSON, a closed list of verbs. [OPS-1] [OPS-2]
// The agent is taken to be captured: no verb hands it a path, a command or a secret, and no verb weakens the machine.
import * as v from "valibot";
import { FAULT_CODES } from "../../hal/fault.ts";
import { faultSchema } from "../../hal/format/fault.ts";
import { base64Schema, countSchema, shortTextSchema } from "../../hal/format/fields.ts";
import { birthRecordSchema, deviceIdentitySchema, fingerprintSchema, protectionSchema } from "../../hal/format/identity.ts";
import { slotPartSchema } from "../../hal/format/slots.ts";
import { hubTimeResponseSchema, nonceSchema } from "../../ota/format/time.ts";
import { targetNameSchema } from "../../ota/trust/format/index.ts";
import {
  auditEntrySchema,
  auditHeadSchema,
  AUDIT_RECORD_BYTES_MAX,
  NOTE_BYTES_MAX,
  PROOF_HASHES_MAX,
} from "../audit/format/index.ts";
import {
  lockdownPreviewSchema,
  lockdownStateSchema,
  lockdownTrialSchema,
  lockdownViewSchema,
  POLICY_BYTES_MAX,
} from "../lockdown/format/index.ts";
import { keyIdSchema, ORDER_BYTES_MAX, orderVerbSchema, planHashSchema } from "../orders/format/index.ts";
import { principalIdSchema, operatorRoleSchema } from "../roster/format.ts";
import { absentSchema, offerSchema, wantedSchema } from "../targets/format.ts";
import { clockStateSchema } from "../time/format.ts";
import { updateStatusSchema } from "../update/format.ts";

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

const noteSchema = v.pipe(v.string(), v.maxLength(NOTE_BYTES_MAX));
const nothing = v.strictObject({});

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
  "audit.append": { args: auditEntrySchema, result: v.strictObject({ seq: countSchema }) },
  /** Whole encoded records from `from`, base64, as many as fit. */
  "audit.read": {
    args: v.strictObject({ from: countSchema, count: v.pipe(countSchema, v.minValue(1), v.maxValue(AUDIT_READ_RECORDS_MAX)) }),
    result: v.strictObject({
      from: countSchema,
      records: v.pipe(v.array(base64Schema(AUDIT_RECORD_BYTES_MAX)), v.maxLength(AUDIT_READ_RECORDS_MAX)),
    }),
  },
  /** A checkpoint of the log at `size` (undefined: as it stands), signed, with the proof that it continues the tree of `oldSize`. */
  "audit.checkpoint": {
    args: v.strictObject({ oldSize: countSchema, size: v.optional(countSchema) }),
    result: v.strictObject({
      oldSize: countSchema,
      size: countSchema,
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
      startedMonotonicMs: countSchema,
      uptimeS: countSchema,
      audit: auditHeadSchema,
      clock: clockStateSchema,
      residentBytes: countSchema,
      lockdown: v.optional(lockdownStateSchema),
      update: v.optional(updateStatusSchema),
      /** What of the warden does not work; absent when all is well. */
      troubles: v.optional(v.pipe(v.array(faultSchema), v.maxLength(WARDEN_TROUBLES_MAX))),
    }),
  },
  /** A fresh nonce for hub time, good once and for 60 s. [ID-10] */
  "time.nonce": { args: nothing, result: v.strictObject({ nonce: nonceSchema }) },
  /** The hub's signed answer: verified here, then the clock is set. [ID-10] */
  "time.set": { args: hubTimeResponseSchema, result: clockStateSchema },
  /**
   * One update cycle of the warden's own metadata store, with the files the agent left with the courier. Policies and rosters for this device are taken on the way.
   * Asked again and again until nothing is wanted any more. [OTA-40]
   */
  "trust.refresh": {
    args: v.strictObject({ absent: absentSchema }),
    result: v.variant("state", [
      wantedSchema,
      v.strictObject({
        state: v.literal("current"),
        root: countSchema,
        timestamp: countSchema,
        snapshot: countSchema,
        offers: v.pipe(v.array(offerSchema), v.maxLength(16)),
      }),
    ]),
  },
  "lockdown.read": { args: nothing, result: lockdownViewSchema },
  /** What a policy would do here; changes nothing, and its signature does not matter. */
  "lockdown.preview": { args: v.strictObject({ policy: base64Schema(POLICY_BYTES_MAX) }), result: lockdownPreviewSchema },
  /** Tries the newest signed policy for this device: in force when it answers, taken back unless an order confirms it in time. [LCK-10] */
  "lockdown.propose": {
    args: nothing,
    result: v.strictObject({ counter: countSchema, trial: lockdownTrialSchema }),
  },
  /** A nonce for one order, good once and for a while; with the hash of what the order is about, where there is such a thing. */
  "order.nonce": {
    args: v.strictObject({ verb: orderVerbSchema }),
    result: v.strictObject({ nonce: nonceSchema, planHash: v.optional(planHashSchema) }),
  },
  /** Verified here, carried out here. Answers who gave it, which is what a console session is then allowed as. [OPS-7] [OPS-8] */
  "order.submit": {
    /** `verb`: what the caller asked for; an order for anything else is refused. */
    args: v.strictObject({ verb: orderVerbSchema, order: v.pipe(v.string(), v.maxLength(ORDER_BYTES_MAX)) }),
    result: v.strictObject({
      by: principalIdSchema,
      roles: v.array(operatorRoleSchema),
      keyid: keyIdSchema,
    }),
  },
  "update.read": { args: nothing, result: updateStatusSchema },
  /** Takes up a signed release that is for this device: manifest and indexes are wanted from the courier, then its parts. [OTA-41] */
  "update.begin": {
    args: v.strictObject({ target: targetNameSchema, absent: absentSchema }),
    result: v.variant("state", [wantedSchema, v.strictObject({ state: v.literal("begun"), update: updateStatusSchema })]),
  },
  /** Chunks `from` up to but not including `to` lie with the courier. Answers when they are in the slot, or with what is expected instead. [OTA-41] */
  "update.write": {
    args: v.strictObject({ part: slotPartSchema, from: countSchema, to: countSchema }),
    result: updateStatusSchema,
  },
  /** The agent can't bring what is expected, and why. Ends a release that is fetched or written, which an agent that brings nothing keeps from going on anyway. [OTA-41] */
  "update.abandon": {
    args: v.strictObject({ code: v.picklist(FAULT_CODES), message: shortTextSchema }),
    result: updateStatusSchema,
  },
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
