// The operations: principals, the table of operations, and the format of requests and answers. It
// is the same on tunnel, console and local socket. [OPS-3] [OPS-4] [OPS-5] [OPS-6]
import * as v from "valibot";
import { auditHeadSchema, auditRecordSchema } from "../../warden/audit/format/index.ts";
import { faultSchema } from "../../hal/format/fault.ts";
import {
  lockdownPlanViewSchema,
  lockdownPreviewSchema,
  lockdownViewSchema,
  POLICY_BYTES_MAX,
} from "../../warden/lockdown/format/index.ts";
import { keyGrantSchema } from "../../warden/identity/format.ts";
import { resetPlanViewSchema } from "../../warden/reset/format.ts";
import { updateStatusSchema } from "../../warden/update/format.ts";
import { ORDER_BYTES_MAX, type OrderVerb, planHashSchema } from "../../warden/orders/format/index.ts";
import { principalIdSchema, OPERATOR_ROLES, type OperatorRole, operatorRoleSchema } from "../../warden/roster/format.ts";
import { deviceIdSchema } from "../../hal/format/identity.ts";
import { nonceSchema } from "../../ota/format/time.ts";
import { deviceStatusSchema, identityViewSchema } from "../status/format.ts";

/**
 * The channel of a principal. Node cannot read the peer credentials of a local socket, so there is
 * one socket for each class of callers, and file permissions decide.
 */
export const channelSchema = v.picklist(["tunnel", "console", "local"]);
export type Channel = v.InferOutput<typeof channelSchema>;

/** [OPS-3] The authenticated sender of a request, on any channel. */
export const principalSchema = v.strictObject({
  /** `local-root`, `console`, `hub`, or an operator's id from the roster. */
  id: principalIdSchema,
  roles: v.pipe(v.array(operatorRoleSchema), v.maxLength(OPERATOR_ROLES.length)),
  attributes: v.strictObject({
    channel: channelSchema,
    tenant: v.optional(v.pipe(v.string(), v.maxLength(64))),
  }),
  /** How the principal authenticated; never the secret itself. */
  credentials: v.pipe(
    v.array(
      v.strictObject({
        kind: v.picklist(["socket", "certificate", "challenge", "none"]),
        /** Certificate fingerprint, key id or name of the socket. */
        reference: v.optional(v.pipe(v.string(), v.maxLength(160))),
      }),
    ),
    v.maxLength(4),
  ),
});
export type Principal = v.InferOutput<typeof principalSchema>;

export const OPERATION_REQUEST_BYTES_MAX = 65_536;
export const OPERATION_ANSWER_BYTES_MAX = 262_144;
export const AUDIT_TAIL_RECORDS_MAX = 256;

/**
 * The newest records of the trail, oldest first. There are fewer when the answer cannot hold more.
 */
export const auditTailSchema = v.strictObject({
  head: auditHeadSchema,
  records: v.pipe(v.array(auditRecordSchema), v.maxLength(AUDIT_TAIL_RECORDS_MAX)),
});
export type AuditTail = v.InferOutput<typeof auditTailSchema>;

interface OperationKind {
  readonly args: v.GenericSchema;
  readonly result: v.GenericSchema;
  readonly roles: readonly OperatorRole[];
  /**
   * True if it changes the device. It does not begin before the audit trail has its record. [OPS-5]
   */
  readonly changes: boolean;
}

/** A DSSE envelope as JSON text. [OPS-7] */
const orderArgs = v.strictObject({ order: v.pipe(v.string(), v.maxLength(ORDER_BYTES_MAX)) });
/**
 * The verbs that operations carry. The console's login is not among them, so that requests over the
 * tunnel cannot use up its nonces.
 */
export const carriedVerbSchema = v.picklist([
  "lockdown.confirm",
  "lockdown.revert",
  "system.reboot",
  "system.wipe",
  "update.approve",
  "update.revert",
  "key.upgrade",
] as const satisfies readonly OrderVerb[]);
/** The roles that may submit an order. That gives them nothing, because the signature decides. */
const CARRIERS = ["viewer", "technician", "maintainer", "security-admin", "owner"] as const satisfies readonly OperatorRole[];

/**
 * [OPS-4] The table: every operation with its arguments, its result and the roles that may request
 * it. This list is the whole attack surface that a principal has.
 */
export const OPERATIONS = {
  status: {
    args: v.strictObject({}),
    result: deviceStatusSchema,
    roles: ["guest", "viewer", "technician", "maintainer", "security-admin", "auditor", "owner"],
    changes: false,
  },
  /** [ID-74] Whose key this is, what keeps it, and on which chip. */
  "identity.show": {
    args: v.strictObject({}),
    result: identityViewSchema,
    roles: ["viewer", "technician", "maintainer", "security-admin", "auditor", "owner"],
    changes: false,
  },
  "audit.tail": {
    args: v.strictObject({
      count: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(AUDIT_TAIL_RECORDS_MAX)), 10),
    }),
    result: auditTailSchema,
    roles: ["technician", "maintainer", "security-admin", "auditor", "owner"],
    changes: false,
  },
  "update.status": {
    args: v.strictObject({}),
    result: updateStatusSchema,
    roles: ["viewer", "technician", "maintainer", "security-admin", "auditor", "owner"],
    changes: false,
  },
  /**
   * Allows the trial of a written release, or a new attempt with one that was rolled back. The
   * signer of the order counts, and not the principal that submits it. [OPS-7]
   */
  "update.approve": { args: orderArgs, result: updateStatusSchema, roles: CARRIERS, changes: true },
  /** Stops an update that is not committed yet; a system on trial is rolled back. [OPS-7] */
  "update.revert": { args: orderArgs, result: updateStatusSchema, roles: CARRIERS, changes: true },
  "lockdown.show": {
    args: v.strictObject({}),
    result: lockdownViewSchema,
    roles: ["viewer", "technician", "maintainer", "security-admin", "auditor", "owner"],
    changes: false,
  },
  /** Shows what a policy would do here. Its signature does not matter, and nothing changes. */
  "lockdown.plan": {
    args: v.strictObject({
      policy: v.pipe(v.string(), v.maxLength(Math.ceil(POLICY_BYTES_MAX / 3) * 4), v.base64("expected base64")),
    }),
    result: lockdownPreviewSchema,
    roles: ["technician", "maintainer", "security-admin", "owner"],
    changes: false,
  },
  /** [LCK-20] The plan in force, which an order over a policy on trial is about, for its signer. */
  "lockdown.enforced": {
    args: v.strictObject({ of: v.optional(v.picklist(["now", "before-trial"]), "now") }),
    result: lockdownPlanViewSchema,
    roles: ["viewer", "technician", "maintainer", "security-admin", "auditor", "owner"],
    changes: false,
  },
  "lockdown.confirm": { args: orderArgs, result: lockdownViewSchema, roles: CARRIERS, changes: true },
  "lockdown.revert": { args: orderArgs, result: lockdownViewSchema, roles: CARRIERS, changes: true },
  "system.reboot": { args: orderArgs, result: v.strictObject({ rebooting: v.literal(true) }), roles: CARRIERS, changes: true },
  /** [ID-65] Allows a stronger key in the place of the present one. */
  "key.upgrade": {
    args: orderArgs,
    result: v.strictObject({ grant: v.optional(keyGrantSchema) }),
    roles: CARRIERS,
    changes: true,
  },
  /** [ID-57] What `system.wipe` would destroy and keep, for the signer of the order. */
  "reset.plan": {
    args: v.strictObject({}),
    result: resetPlanViewSchema,
    roles: ["viewer", "technician", "maintainer", "security-admin", "auditor", "owner"],
    changes: false,
  },
  /** Resets this device as from the factory: it answers, and restarts when the hub was told. */
  "system.wipe": { args: orderArgs, result: v.strictObject({ wiping: v.literal(true) }), roles: CARRIERS, changes: true },
  /** What an order must sign: the device, a fresh nonce, and the hash of the order's subject. */
  "order.nonce": {
    args: v.strictObject({ verb: carriedVerbSchema }),
    result: v.strictObject({ deviceId: deviceIdSchema, nonce: nonceSchema, planHash: v.optional(planHashSchema) }),
    roles: CARRIERS,
    changes: false,
  },
} as const satisfies Readonly<Record<string, OperationKind>>;

export type OperationName = keyof typeof OPERATIONS;
/** An operation that takes an order; the verb of the order has the same name. */
export type OrderedOperation = OperationName & OrderVerb;
export type OperationArgs<N extends OperationName> = v.InferOutput<(typeof OPERATIONS)[N]["args"]>;
export type OperationResult<N extends OperationName> = v.InferOutput<(typeof OPERATIONS)[N]["result"]>;

export function isOperationName(name: string): name is OperationName {
  return Object.hasOwn(OPERATIONS, name);
}

/** Chosen by the caller; repeated in the answer, and in the audit trail as correlation. */
export const correlationSchema = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z0-9._-]{1,64}$/, "expected 1 to 64 letters, digits, '.', '_', '-'"),
);

/**
 * Passes the object on unchanged. v.record would drop members with names of Object.prototype, so
 * that they would not be refused.
 */
const anyObjectSchema = v.custom<Readonly<Record<string, unknown>>>(
  (value) => typeof value === "object" && value !== null && !Array.isArray(value),
  "expected an object",
);

/** [OPS-6] A request. */
export const operationRequestSchema = v.strictObject({
  v: v.literal(1),
  id: correlationSchema,
  operation: v.pipe(v.string(), v.maxLength(64)),
  args: v.optional(anyObjectSchema, {}),
});
export type OperationRequest = v.InferOutput<typeof operationRequestSchema>;

/** [OPS-6] The answer. `id` is empty when the request had no readable id. */
export const operationAnswerSchema = v.union([
  v.strictObject({ v: v.literal(1), id: v.string(), result: v.record(v.string(), v.unknown()) }),
  v.strictObject({ v: v.literal(1), id: v.string(), fault: faultSchema }),
]);
export type OperationAnswer = v.InferOutput<typeof operationAnswerSchema>;
