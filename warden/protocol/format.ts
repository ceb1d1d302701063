// The agent-warden protocol: one request a line, as JSON, with a closed list of verbs. [OPS-1]
// [OPS-2] The agent is assumed to be captured: no verb accepts a path or a command, no verb reveals
// a secret, and no verb weakens the machine.
import * as v from "valibot";
import { FAULT_CODES } from "../../hal/fault.ts";
import { faultSchema } from "../../hal/format/fault.ts";
import { base64Schema, countSchema, shortTextSchema } from "../../hal/format/fields.ts";
import {
  birthRecordSchema,
  boardSchema,
  chipSchema,
  deviceIdentitySchema,
  fingerprintSchema,
  protectionSchema,
} from "../../hal/format/identity.ts";
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
  lockdownPlanViewSchema,
  lockdownPreviewSchema,
  lockdownStateSchema,
  lockdownTrialSchema,
  lockdownViewSchema,
  POLICY_BYTES_MAX,
} from "../lockdown/format/index.ts";
import { escrowStateSchema } from "../escrow/format/index.ts";
import { keyIdSchema, ORDER_BYTES_MAX, orderVerbSchema, planHashSchema } from "../orders/format/index.ts";
import { resetPlanViewSchema } from "../reset/format.ts";
import { principalIdSchema, operatorRoleSchema } from "../roster/format.ts";
import { absentSchema, offerSchema, wantedSchema } from "../targets/format.ts";
import { boardVerdictSchema, keyGrantSchema } from "../identity/format.ts";
import { clockStateSchema } from "../time/format.ts";
import { tpmStateSchema, tpmViewSchema } from "../tpm/format.ts";
import { updateStatusSchema } from "../update/format.ts";

export const PROTOCOL_VERSION = 1;
/** Bytes of a line with its newline, in either direction. */
export const PROTOCOL_LINE_BYTES_MAX = 65_536;
/** Records in one `audit.read` answer; fewer when the line would exceed its bound. */
export const AUDIT_READ_RECORDS_MAX = 64;
/** Requests that one connection may have unanswered. */
export const PROTOCOL_PENDING_MAX = 32;

export const WARDEN_TROUBLES_MAX = 16;

const noteSchema = v.pipe(v.string(), v.maxLength(NOTE_BYTES_MAX));
const nothing = v.strictObject({});

/**
 * The most that a verb can change. `nothing`: it reads. `trail`: the audit log and what the hub has
 * witnessed of it. `machine`: anything else that outlives the request, from the clock to the boot
 * choice. Records of refusals do not count: every verb can cause one.
 */
export type VerbChanges = "nothing" | "trail" | "machine";

/**
 * The limiters that bound how often a verb can change something, or cost something. Every verb
 * passes `requests` before it is dispatched; a row names the narrowest limiter that its verb
 * passes.
 */
export type VerbLimiter =
  /**
   * Bytes of requests and refusals, all connections together: `warden/protocol/budget.ts`. [OPS-10]
   */
  | "requests"
  /** Only the first call since the start, or ever, changes something. */
  | "once"
  /** Bytes that the agent may append to the log: `warden/protocol/allowance.ts`. [AUD-26] */
  | "appended-bytes"
  /** Each change takes a new signature of the hub: `warden/audit`. */
  | "hub-signatures"
  /** One setting of the clock in 10 s, each with a new signature of the hub: `warden/time`. */
  | "clock-settings"
  /** Nonces for the hub's time; a further one displaces the oldest: `warden/time/nonces.ts`. */
  | "time-nonces"
  /**
   * Nonces for orders; a further one displaces the oldest of its verb: `warden/orders/nonces.ts`.
   */
  | "order-nonces"
  /** Requests that verify metadata: `warden/targets`. */
  | "target-requests"
  /** Plans of a lockdown policy: `warden/lockdown/verbs.ts`. */
  | "plans"
  /** Releases that are taken up, and what each of them allows: `warden/update/admission.ts`. */
  | "beginnings";

/** One row of the table: what reviewers of the boundary need to know of a verb. */
export interface VerbRow {
  readonly args: v.GenericSchema;
  readonly result: v.GenericSchema;
  readonly changes: VerbChanges;
  readonly limiter: VerbLimiter;
  /**
   * Who records refusals of the verb: the protocol session, or the service behind the verb under an
   * event of its own.
   */
  readonly refusals: "session" | "service";
}

/**
 * Every verb: what it accepts, what it answers, what it can change, and what limits it. The list is
 * complete. [OPS-2]
 */
export const WARDEN_VERBS = {
  /**
   * The first request on every connection, so that both sides know each other. It passes the check
   * `agent` of a system under trial. [OTA-43]
   */
  hello: {
    args: v.strictObject({ protocol: v.literal(PROTOCOL_VERSION), program: v.pipe(v.string(), v.maxLength(64)) }),
    result: v.strictObject({
      protocol: v.literal(PROTOCOL_VERSION),
      program: v.pipe(v.string(), v.maxLength(64)),
      bootId: v.pipe(v.string(), v.maxLength(36)),
    }),
    changes: "machine",
    limiter: "once",
    refusals: "session",
  },
  /** The identity of the machine, and the birth record if there is one. */
  "identity.read": {
    args: nothing,
    result: v.strictObject({
      identity: deviceIdentitySchema,
      birth: v.optional(birthRecordSchema),
      /** The board as it is now, compared with that of the birth. [ID-96] */
      board: v.optional(v.strictObject({ verdict: boardVerdictSchema, found: boardSchema })),
      /** C2SP verifier key of the audit log, for the certificate request. [AUD-7] */
      auditKey: v.pipe(v.string(), v.maxLength(256)),
    }),
    changes: "nothing",
    limiter: "requests",
    refusals: "session",
  },
  /** Writes the birth record. A second one with other content is refused. [ID-6] */
  "birth.record": {
    args: v.strictObject({
      protection: protectionSchema,
      keyFingerprint: fingerprintSchema,
      /** Of a key that a TPM protects. [ID-47] */
      chip: v.optional(chipSchema),
    }),
    result: birthRecordSchema,
    changes: "machine",
    limiter: "once",
    refusals: "session",
  },
  /**
   * The agent says how strong a key it could make now, or that it could make no stronger one, and
   * learns what an order has granted. What it says is what an order `key.upgrade` is about. [ID-65]
   */
  "key.offer": {
    args: v.strictObject({ protection: v.optional(protectionSchema) }),
    result: v.strictObject({ planHash: v.optional(planHashSchema), grant: v.optional(keyGrantSchema) }),
    changes: "nothing",
    limiter: "requests",
    refusals: "session",
  },
  /** Replaces the key of the birth record, once for each order `key.upgrade`. [ID-67] */
  "birth.replace": {
    args: v.strictObject({
      protection: protectionSchema,
      keyFingerprint: fingerprintSchema,
      chip: v.optional(chipSchema),
    }),
    result: birthRecordSchema,
    changes: "machine",
    limiter: "once",
    refusals: "session",
  },
  /** Appends an entry of the agent, marked as such. Answers when it is durable. */
  "audit.append": {
    args: auditEntrySchema,
    result: v.strictObject({ seq: countSchema }),
    changes: "trail",
    limiter: "appended-bytes",
    refusals: "session",
  },
  /** Encoded records from `from` on, in base64, as many as fit. */
  "audit.read": {
    args: v.strictObject({ from: countSchema, count: v.pipe(countSchema, v.minValue(1), v.maxValue(AUDIT_READ_RECORDS_MAX)) }),
    result: v.strictObject({
      from: countSchema,
      records: v.pipe(v.array(base64Schema(AUDIT_RECORD_BYTES_MAX)), v.maxLength(AUDIT_READ_RECORDS_MAX)),
    }),
    changes: "nothing",
    limiter: "requests",
    refusals: "session",
  },
  /**
   * A signed checkpoint of the log at `size` (undefined: its present size), with the proof that it
   * continues the tree of `oldSize`.
   */
  "audit.checkpoint": {
    args: v.strictObject({ oldSize: countSchema, size: v.optional(countSchema) }),
    result: v.strictObject({
      oldSize: countSchema,
      size: countSchema,
      checkpoint: noteSchema,
      proof: v.pipe(v.array(base64Schema(32)), v.maxLength(PROOF_HASHES_MAX)),
    }),
    changes: "nothing",
    limiter: "requests",
    refusals: "session",
  },
  /**
   * Takes a cosignature of the hub, which the warden checks against the witness key. It passes the
   * check `hub` of a system under trial. [AUD-8] [OTA-43]
   */
  "audit.cosigned": {
    args: v.strictObject({ checkpoint: noteSchema }),
    result: auditHeadSchema,
    changes: "machine",
    limiter: "hub-signatures",
    refusals: "session",
  },
  /** What the warden knows of the machine's state. */
  "status.read": {
    args: nothing,
    result: v.strictObject({
      startedMonotonicMs: countSchema,
      uptimeS: countSchema,
      audit: auditHeadSchema,
      clock: clockStateSchema,
      /** The fingerprint of the audit key, to compare at approval. [ID-26] */
      auditKey: v.optional(fingerprintSchema),
      residentBytes: countSchema,
      lockdown: v.optional(lockdownStateSchema),
      update: v.optional(updateStatusSchema),
      /** [ID-66] An order `key.upgrade` that is not carried out yet. */
      keyUpgrade: v.optional(keyGrantSchema),
      /** Absent where no TPM is configured. */
      tpm: v.optional(tpmStateSchema),
      /** What does not work in the warden; absent when everything does. */
      troubles: v.optional(v.pipe(v.array(faultSchema), v.maxLength(WARDEN_TROUBLES_MAX))),
    }),
    changes: "nothing",
    limiter: "requests",
    refusals: "session",
  },
  /** Whose the TPM is, and why it is not ours. No password is in it. [ID-52] */
  "tpm.read": {
    args: nothing,
    result: tpmViewSchema,
    changes: "nothing",
    limiter: "requests",
    refusals: "session",
  },
  /** A fresh nonce for the hub's time, valid once and for 60 s. [ID-10] */
  "time.nonce": {
    args: nothing,
    result: v.strictObject({ nonce: nonceSchema }),
    changes: "nothing",
    limiter: "time-nonces",
    refusals: "session",
  },
  /**
   * Verifies the hub's signed answer, then sets the clock. It passes the check `hub` of a system
   * under trial. [ID-22] [OTA-43]
   */
  "time.set": {
    args: hubTimeResponseSchema,
    result: clockStateSchema,
    changes: "machine",
    limiter: "clock-settings",
    refusals: "session",
  },
  /**
   * One update cycle of the warden's own metadata store, with the files that the agent left in the
   * hand-over directory. Newer policies and rosters for this device are stored on the way. The
   * agent repeats the request until no file is wanted. [OTA-40]
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
    changes: "machine",
    limiter: "target-requests",
    refusals: "service",
  },
  "lockdown.read": {
    args: nothing,
    result: lockdownViewSchema,
    changes: "nothing",
    limiter: "requests",
    refusals: "session",
  },
  /** What a policy would do on this device. Its signature is not checked. */
  "lockdown.preview": {
    args: v.strictObject({ policy: base64Schema(POLICY_BYTES_MAX) }),
    result: lockdownPreviewSchema,
    changes: "nothing",
    limiter: "plans",
    refusals: "session",
  },
  /**
   * [LCK-20] The plan in force, which an order over a policy on trial is about, or the one before
   * the trial.
   */
  "lockdown.enforced": {
    args: v.strictObject({ of: v.picklist(["now", "before-trial"]) }),
    result: lockdownPlanViewSchema,
    changes: "nothing",
    limiter: "requests",
    refusals: "session",
  },
  /**
   * Tries the newest signed policy for this device. It is in force when the answer comes, and is
   * reverted unless an order confirms it in time. [LCK-10]
   */
  "lockdown.propose": {
    args: nothing,
    result: v.strictObject({ counter: countSchema, trial: lockdownTrialSchema }),
    changes: "machine",
    limiter: "plans",
    refusals: "service",
  },
  /**
   * A nonce for one order, valid once and for a limited time, with the plan hash that the order
   * must name where there is one.
   */
  "order.nonce": {
    args: v.strictObject({ verb: orderVerbSchema }),
    result: v.strictObject({ nonce: nonceSchema, planHash: v.optional(planHashSchema) }),
    changes: "nothing",
    limiter: "order-nonces",
    refusals: "service",
  },
  /**
   * Verifies an order and carries it out. Answers who gave it: a console session gets the rights of
   * that operator. [OPS-7] [OPS-8]
   */
  "order.submit": {
    /** `verb` is what the caller asked for; an order for anything else is refused. */
    args: v.strictObject({ verb: orderVerbSchema, order: v.pipe(v.string(), v.maxLength(ORDER_BYTES_MAX)) }),
    result: v.strictObject({
      by: principalIdSchema,
      roles: v.array(operatorRoleSchema),
      keyid: keyIdSchema,
    }),
    changes: "machine",
    limiter: "order-nonces",
    refusals: "service",
  },
  /**
   * Whose key `keyid` is by the roster in force; no operator for a key that it does not have. A
   * console session ends with it [CON-12]. The roster is signed and public, so this tells nobody
   * more than the agent has brought.
   */
  "order.signer": {
    args: v.strictObject({ keyid: keyIdSchema }),
    result: v.strictObject({
      operator: v.optional(v.strictObject({ id: principalIdSchema, roles: v.array(operatorRoleSchema) })),
    }),
    changes: "nothing",
    limiter: "requests",
    refusals: "session",
  },
  /**
   * The passwords of the TPM, sealed for the owner and signed by the warden: useless to the agent,
   * which delivers them. Made at the first call and then the same, so no caller makes work. [ID-54]
   * [ID-55]
   */
  "tpm.escrow": {
    args: nothing,
    result: escrowStateSchema,
    changes: "nothing",
    limiter: "requests",
    refusals: "session",
  },
  /**
   * Takes the hub's cosignature on the escrow note, which the warden checks against the witness
   * key. [ID-55]
   */
  "tpm.escrowed": {
    args: v.strictObject({ note: noteSchema }),
    result: v.strictObject({ escrowed: v.literal(true) }),
    changes: "machine",
    limiter: "hub-signatures",
    refusals: "session",
  },
  /** [ID-57] What an order `system.wipe` would destroy and keep now. */
  "reset.plan": {
    args: nothing,
    result: resetPlanViewSchema,
    changes: "nothing",
    limiter: "requests",
    refusals: "session",
  },
  "update.read": {
    args: nothing,
    result: updateStatusSchema,
    changes: "nothing",
    limiter: "requests",
    refusals: "session",
  },
  /**
   * Takes up a signed release for this device: its manifest and indexes are wanted first, then its
   * chunks. [OTA-41]
   */
  "update.begin": {
    args: v.strictObject({ target: targetNameSchema, absent: absentSchema }),
    result: v.variant("state", [wantedSchema, v.strictObject({ state: v.literal("begun"), update: updateStatusSchema })]),
    changes: "machine",
    limiter: "beginnings",
    refusals: "service",
  },
  /**
   * Chunks `from` up to but not including `to` lie in the hand-over directory. Answers when they
   * are in the slot, or with what is expected instead. [OTA-65]
   */
  "update.write": {
    args: v.strictObject({ part: slotPartSchema, from: countSchema, to: countSchema }),
    result: updateStatusSchema,
    changes: "machine",
    limiter: "beginnings",
    refusals: "session",
  },
  /**
   * The agent cannot bring what is expected, and says why. Ends a release that is being fetched or
   * written; an agent that brings nothing prevents it from going on anyway. [OTA-68]
   */
  "update.abandon": {
    args: v.strictObject({ code: v.picklist(FAULT_CODES), message: shortTextSchema }),
    result: updateStatusSchema,
    changes: "machine",
    limiter: "beginnings",
    refusals: "session",
  },
} as const satisfies Readonly<Record<string, VerbRow>>;

export type WardenVerb = keyof typeof WARDEN_VERBS;
export type WardenArgs<V extends WardenVerb> = v.InferOutput<(typeof WARDEN_VERBS)[V]["args"]>;
export type WardenResult<V extends WardenVerb> = v.InferOutput<(typeof WARDEN_VERBS)[V]["result"]>;

export function isWardenVerb(verb: string): verb is WardenVerb {
  return Object.hasOwn(WARDEN_VERBS, verb);
}

/** Chosen by the caller and repeated in the answer. */
export const requestIdSchema = v.pipe(v.number(), v.safeInteger(), v.minValue(1));

/**
 * An object with members of its own only. valibot accepts a list as an object, and drops members
 * that every object inherits instead of refusing them as unknown.
 */
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
  /** `id` 0: the line could not be read as a request, and the connection ends. */
  v.strictObject({ id: v.pipe(v.number(), v.safeInteger(), v.minValue(0)), fault: faultSchema }),
]);
