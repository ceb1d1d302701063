// The wire format of the tunnel: topics, and bodies as JSON in MQTT payloads. Nothing in it depends
// on MQTT 5 properties. [TUN-1] [TUN-8] [TUN-9]
import * as v from "valibot";
import { boardSchema, type DeviceId, deviceIdSchema, protectionSchema } from "../../hal/format/identity.ts";
import { nonceSchema } from "../../ota/format/time.ts";
import { targetNameSchema } from "../../ota/trust/format/index.ts";
import { operationAnswerSchema, operationRequestSchema } from "../operations/format.ts";
import { planHashSchema } from "../../warden/orders/format/index.ts";
import { escrowNoteSchema } from "../../warden/escrow/format/index.ts";
import { updateStatusSchema } from "../../warden/update/format.ts";
import { AUDIT_RECORD_BYTES_MAX, NOTE_BYTES_MAX, PROOF_HASHES_MAX } from "../../warden/audit/format/index.ts";
import { listSchema } from "../../hal/format/fields.ts";
import { tryCheck } from "../../hal/format/schema.ts";

export const TOPIC_ROOT = "sallyport/1";
export const UP_CHANNELS = ["status", "telemetry", "event", "audit", "update", "result"] as const;
export const DOWN_CHANNELS = ["update", "policy", "operation", "audit"] as const;
export type UpChannel = (typeof UP_CHANNELS)[number];
export type DownChannel = (typeof DOWN_CHANNELS)[number];

/** Both sides refuse larger messages. */
export const MESSAGE_BYTES_MAX = 262_144;
/** Records in one audit delivery. */
export const AUDIT_DELIVERY_RECORDS_MAX = 64;

export function upTopic(deviceId: DeviceId, channel: UpChannel): string {
  return `${TOPIC_ROOT}/${deviceId}/up/${channel}`;
}
export function downTopic(deviceId: DeviceId, channel: DownChannel): string {
  return `${TOPIC_ROOT}/${deviceId}/down/${channel}`;
}

/** @returns the parts of a Sallyport topic; undefined for any other topic. */
export function parseTopic(
  topic: string,
): { readonly deviceId: DeviceId; readonly direction: "up" | "down"; readonly channel: string } | undefined {
  const match = /^sallyport\/1\/([^/]{1,64})\/(up|down)\/([a-z]{1,16})$/u.exec(topic);
  if (match === null) return undefined;
  const deviceId = tryCheck(deviceIdSchema, match[1]);
  const direction = match[2];
  const channel = match[3];
  if (deviceId === undefined || (direction !== "up" && direction !== "down") || channel === undefined) return undefined;
  return { deviceId, direction, channel };
}

/** A UUID. The receiver uses it to drop duplicates. [TUN-8] */
export const messageIdSchema = v.pipe(
  v.string(),
  v.regex(/^[0-9a-f]{8}-[0-9a-f]{4}-[47][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/, "expected a UUID"),
);

/** The envelope of every message. `at` is the sender's wall clock at the event, not at sending. */
const envelope = <const B extends v.GenericSchema>(body: B) =>
  v.strictObject({ v: v.literal(1), id: messageIdSchema, at: v.pipe(v.string(), v.isoTimestamp()), body });

/** `up/status`, retained: the birth message after every CONNACK, `offline` as the will. [TUN-9] */
export const statusMessageSchema = envelope(
  v.strictObject({
    state: v.picklist(["online", "offline"]),
    /** `clean`: published by the agent itself. `lost`: published by the broker, as the will. */
    reason: v.optional(v.picklist(["clean", "lost"])),
    program: v.optional(v.pipe(v.string(), v.maxLength(64))),
    bootId: v.optional(v.pipe(v.string(), v.maxLength(36))),
    protection: v.optional(protectionSchema),
    mqtt: v.optional(v.picklist(["3.1.1", "5"])),
    group: v.optional(v.pipe(v.string(), v.maxLength(64))),
    clock: v.optional(v.picklist(["unset", "unverified", "synced"])),
  }),
);
export type StatusMessage = v.InferOutput<typeof statusMessageSchema>;

const safeCount = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const base64 = (bytesMax: number) => v.pipe(v.string(), v.maxLength(Math.ceil(bytesMax / 3) * 4), v.base64("expected base64"));

/**
 * `up/audit`: the add-checkpoint request of c2sp.org/tlog-witness, with the leaves. They are the
 * records from `oldSize` to the size of the checkpoint (excluded), encoded as in the log. [AUD-9]
 */
export const auditUploadSchema = envelope(
  v.strictObject({
    oldSize: safeCount,
    checkpoint: v.pipe(v.string(), v.maxLength(NOTE_BYTES_MAX)),
    proof: listSchema(base64(32), PROOF_HASHES_MAX),
    records: listSchema(base64(AUDIT_RECORD_BYTES_MAX), AUDIT_DELIVERY_RECORDS_MAX),
  }),
);
export type AuditUpload = v.InferOutput<typeof auditUploadSchema>;

/**
 * `down/audit`: the witness's answer. `cosigned`: the checkpoint with the hub's cosignature.
 * `conflict`: the hub has another size, and the upload must resume from it. `refused`: the reason.
 * [AUD-9] `escrowed`: an escrow note that the hub has stored, with its cosignature. [TUN-60]
 */
export const auditAnswerSchema = envelope(
  v.union([
    v.strictObject({ answer: v.literal("cosigned"), checkpoint: v.pipe(v.string(), v.maxLength(NOTE_BYTES_MAX)) }),
    v.strictObject({ answer: v.literal("conflict"), size: safeCount }),
    v.strictObject({ answer: v.literal("refused"), reason: v.pipe(v.string(), v.maxLength(512)) }),
    v.strictObject({ answer: v.literal("escrowed"), note: v.pipe(v.string(), v.maxLength(NOTE_BYTES_MAX)) }),
  ]),
);
export type AuditAnswer = v.InferOutput<typeof auditAnswerSchema>;

/**
 * `up/event`, `up/telemetry`, `up/update`, `up/result`: each `kind` defines its own further
 * members.
 */
export const reportMessageSchema = envelope(v.looseObject({ kind: v.pipe(v.string(), v.regex(/^[a-z][a-z0-9.-]{0,63}$/)) }));
export type ReportMessage = v.InferOutput<typeof reportMessageSchema>;

/**
 * `down/operation`: a request of the hub. It passes the same interceptors as every other request;
 * the answer goes up as a result of kind `operation`. [OPS-6]
 */
export const operationMessageSchema = envelope(operationRequestSchema);
/**
 * The same with a request that was not validated. The operations answer a malformed request with a
 * fault, so that nothing with an envelope stays unanswered.
 */
export const operationEnvelopeSchema = envelope(v.unknown());
export type OperationEnvelope = v.InferOutput<typeof operationEnvelopeSchema>;

/**
 * `down/update`: a hint to a target. The online hub can only name targets; their signatures decide.
 * [OTA-42]
 */
export const updateHintSchema = envelope(v.strictObject({ kind: v.literal("update.start"), target: targetNameSchema }));
/**
 * `down/policy`: a hint that the repository may have something new [OTA-42], or that a disk with
 * this device's identity waits in another board [ID-97].
 */
export const hubHintSchema = envelope(
  v.variant("kind", [
    v.strictObject({ kind: v.literal("repository.changed") }),
    v.strictObject({ kind: v.literal("identity.elsewhere"), found: boardSchema }),
  ]),
);

/** `up/event` of kind `identity.changed`: the hardware would give another id. [ID-98] */
export const boardReportSchema = v.strictObject({
  kind: v.literal("identity.changed"),
  /** By the birth record, where that has it. */
  born: v.optional(boardSchema),
  found: boardSchema,
});
export type BoardReport = v.InferOutput<typeof boardReportSchema>;

/**
 * `up/event` of kind `lockdown.pending`: a policy is on trial. An order over these members confirms
 * it. [LCK-12]
 */
export const lockdownPendingSchema = v.strictObject({
  kind: v.literal("lockdown.pending"),
  counter: safeCount,
  planHash: planHashSchema,
  nonce: nonceSchema,
  confirmWithinMs: safeCount,
});
export type LockdownPending = v.InferOutput<typeof lockdownPendingSchema>;

/**
 * `up/update` of kind `update`: the state of an update. While the update is in progress, `detail`
 * may say what happened to a hint for another release, or why the agent waits.
 */
export const updateReportSchema = v.strictObject({ kind: v.literal("update"), update: updateStatusSchema });
export type UpdateReport = v.InferOutput<typeof updateReportSchema>;

/**
 * `up/event` of kind `tpm.escrow`: the passwords of the TPM, sealed for the owner and signed by the
 * warden. [TUN-60]
 */
export const escrowReportSchema = v.strictObject({ kind: v.literal("tpm.escrow"), note: escrowNoteSchema });
export type EscrowReport = v.InferOutput<typeof escrowReportSchema>;

/** `up/result` of kind `operation`: the answer to `down/operation`. [OPS-6] */
export const operationResultSchema = v.strictObject({ kind: v.literal("operation"), answer: operationAnswerSchema });
