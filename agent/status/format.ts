// The device status, the same on console, tunnel and local socket.
import * as v from "valibot";
import {
  birthRecordSchema,
  deviceIdSchema,
  deviceIdSourceSchema,
  fingerprintSchema,
  protectionSchema,
} from "../../hal/format/identity.ts";
import { auditHeadSchema } from "../../warden/audit/format/index.ts";
import { clockStateSchema } from "../../warden/time/format.ts";
import { FAULT_CODES } from "../../hal/fault.ts";
import { tpmStateSchema, tpmViewSchema } from "../../warden/tpm/format.ts";
import { faultSchema } from "../../hal/format/fault.ts";
import { nonceSchema } from "../../ota/format/time.ts";
import { lockdownStateSchema } from "../../warden/lockdown/format/index.ts";
import { updateStatusSchema } from "../../warden/update/format.ts";

const safeCount = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const shortText = v.pipe(v.string(), v.maxLength(256));

/** The states in the life of a device. */
export const LIFE_STATES = ["blank", "keyed", "requested", "enrolled", "connected", "disconnected"] as const;

export const tunnelStatusSchema = v.strictObject({
  state: v.picklist(["idle", "connecting", "connected", "waiting"]),
  hub: v.optional(shortText),
  /** Of the connection that is up: subject of the hub's certificate, TLS version, cipher, group. */
  peer: v.optional(shortText),
  tls: v.optional(shortText),
  cipher: v.optional(shortText),
  group: v.optional(shortText),
  mqtt: v.optional(v.picklist(["3.1.1", "5"])),
  connectedForS: v.optional(safeCount),
  /** Connections made since the agent started. */
  connections: safeCount,
  retryInS: v.optional(safeCount),
  lastFault: v.optional(faultSchema),
  spool: v.strictObject({ messages: safeCount, bytes: safeCount, dropped: safeCount }),
});
export type TunnelStatus = v.InferOutput<typeof tunnelStatusSchema>;

/** [ID-68] Where the upgrade of the device key is. `possible`: it waits for an order. */
export const keyUpgradeSchema = v.strictObject({
  to: protectionSchema,
  state: v.picklist(["possible", "ordered", "requesting", "proving", "replacing", "removing"]),
  order: v.optional(nonceSchema),
  lastFault: v.optional(faultSchema),
});
export type KeyUpgradeStatus = v.InferOutput<typeof keyUpgradeSchema>;

/** The key that the device uses. */
const keySchema = v.strictObject({
  protection: protectionSchema,
  fingerprint: fingerprintSchema,
  /** Why the key is not in the TPM, if it is not. */
  note: v.optional(shortText),
  /** [ID-69] The stronger key that this device could have or is making. */
  upgrade: v.optional(keyUpgradeSchema),
});

const certificateSchema = v.strictObject({
  serial: shortText,
  issuer: shortText,
  notBefore: v.pipe(v.string(), v.isoTimestamp()),
  notAfter: v.pipe(v.string(), v.isoTimestamp()),
  state: v.picklist(["fresh", "due", "renewing", "proving", "expired"]),
  renewAt: v.optional(v.pipe(v.string(), v.isoTimestamp())),
});

const enrolmentSchema = v.strictObject({
  state: v.picklist(["waiting-for-approval", "retrying", "denied", "done"]),
  lastFault: v.optional(faultSchema),
});

export const deviceStatusSchema = v.strictObject({
  v: v.literal(1),
  program: shortText,
  at: v.pipe(v.string(), v.isoTimestamp()),
  life: v.picklist(LIFE_STATES),
  device: v.optional(v.strictObject({ id: deviceIdSchema, source: deviceIdSourceSchema, model: v.optional(shortText) })),
  key: v.optional(keySchema),
  /** The key that the device was born with; `key` is undefined while it cannot be used. [ID-6] */
  birth: v.optional(v.strictObject({ protection: protectionSchema, fingerprint: fingerprintSchema })),
  certificate: v.optional(certificateSchema),
  enrolment: v.optional(enrolmentSchema),
  tunnel: tunnelStatusSchema,
  /** Undefined while the warden does not answer. */
  audit: v.optional(auditHeadSchema),
  /**
   * The fingerprint of the warden's audit key, to compare at approval. A captured agent may show
   * another one: the warden prints it on the console itself. [ID-26]
   */
  auditKey: v.optional(fingerprintSchema),
  clock: v.optional(clockStateSchema),
  /** [TUN-62] Services that the hub has not, by its anchors: no trouble, but less is proven. */
  without: v.optional(v.pipe(v.array(v.picklist(["time", "witness"])), v.maxLength(2))),
  tpm: v.optional(tpmStateSchema),
  lockdown: v.optional(lockdownStateSchema),
  update: v.optional(updateStatusSchema),
  system: v.strictObject({
    uptimeS: safeCount,
    load1: v.number(),
    memoryAvailableBytes: safeCount,
    memoryTotalBytes: safeCount,
    agentResidentBytes: safeCount,
    wardenResidentBytes: v.optional(safeCount),
  }),
  /** What does not work, for people; empty when everything works. */
  troubles: v.pipe(v.array(v.pipe(v.string(), v.maxLength(512))), v.maxLength(32)),
});
export type DeviceStatus = v.InferOutput<typeof deviceStatusSchema>;

/** [ID-74] Who the device is, by what it proves that, and what keeps the key. */
export const identityViewSchema = v.strictObject({
  v: v.literal(1),
  at: v.pipe(v.string(), v.isoTimestamp()),
  device: v.optional(
    v.strictObject({
      id: deviceIdSchema,
      source: deviceIdSourceSchema,
      model: v.optional(shortText),
      boardSerial: v.optional(v.pipe(v.string(), v.maxLength(64))),
    }),
  ),
  key: v.optional(keySchema),
  /** Why there is no key that can be used. */
  keyFault: v.optional(faultSchema),
  birth: v.optional(birthRecordSchema),
  tpm: v.optional(tpmViewSchema),
  /** The fault for which the doors are shut. [ID-72] */
  held: v.optional(v.picklist(FAULT_CODES)),
  certificate: v.optional(certificateSchema),
  enrolment: v.optional(enrolmentSchema),
  auditKey: v.optional(fingerprintSchema),
  /** What could not be read, and why. What is absent and not in this list is not there. */
  unknown: v.pipe(v.array(v.pipe(v.string(), v.maxLength(512))), v.maxLength(4)),
});
export type IdentityView = v.InferOutput<typeof identityViewSchema>;
