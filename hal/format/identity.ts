// Who the machine is: the device id, what the hardware says of itself, and the birth record. [ID-1] [ID-3] [ID-6]
import * as v from "valibot";

/** [ID-1] Fits a topic level, a certificate CN, a file name and a terminal without any escaping. */
export const DEVICE_ID_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

export const deviceIdSchema = v.pipe(
  v.string(),
  v.regex(DEVICE_ID_PATTERN, "expected a device id of 1 to 64 letters, digits, '.', '_', '-', not starting with a sign"),
  v.brand("DeviceId"),
);
/** A device id that was checked. The brand keeps unchecked strings out of topics, paths and certificates. */
export type DeviceId = v.InferOutput<typeof deviceIdSchema>;

/** Where the id came from, in the order of preference of [ID-1]. */
export const deviceIdSourceSchema = v.picklist(["commissioned", "serial", "mac", "hash"]);
export type DeviceIdSource = v.InferOutput<typeof deviceIdSourceSchema>;

/** EUI-48, lower case, colon separated. */
export const macSchema = v.pipe(
  v.string(),
  v.regex(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/, "expected a MAC such as 02:00:5e:10:00:01"),
);

/** What the machine says of itself, unjudged: as read from DMI, device tree and sysfs. */
export interface HardwareFacts {
  /** From an EEPROM or set on the console before enrolment. */
  readonly commissionedId: string | undefined;
  /** DMI product/board/chassis serial or the device tree's serial-number, in that order, as read and trimmed. */
  readonly serials: readonly string[];
  /** Permanent MACs of built-in interfaces, by interface name, in kernel order. Not of USB adapters, bridges or other virtual links. */
  readonly interfaces: readonly { readonly name: string; readonly mac: string }[];
  /** DMI product name or device-tree model, trimmed; for people. */
  readonly model: string | undefined;
}

/** SHA-256 over the DER SubjectPublicKeyInfo: what an operator compares at approval. [ID-5] */
export const fingerprintSchema = v.pipe(v.string(), v.regex(/^sha256:[0-9a-f]{64}$/, "expected sha256: and 64 hex digits"));
export type Fingerprint = v.InferOutput<typeof fingerprintSchema>;

/** Where the private key lies. Always reported: an auditor must not have to guess. [ID-4] */
export const protectionSchema = v.picklist(["tpm", "file"]);
export type Protection = v.InferOutput<typeof protectionSchema>;

/**
 * [ID-6] The public birth record: lies outside the encrypted data partition, so that a missing TPM or a lost key is reported instead of a new identity made.
 * Written once, by the warden; only the owner's reset removes it.
 */
export const birthRecordSchema = v.strictObject({
  v: v.literal(1),
  id: deviceIdSchema,
  source: deviceIdSourceSchema,
  protection: protectionSchema,
  keyFingerprint: fingerprintSchema,
});
export type BirthRecord = v.InferOutput<typeof birthRecordSchema>;

/** What the agent needs of the machine's identity, as the warden tells it. */
export const deviceIdentitySchema = v.strictObject({
  id: deviceIdSchema,
  source: deviceIdSourceSchema,
  /** The board's serial, when the machine has a usable one: goes into the CSR as serialNumber. */
  boardSerial: v.optional(v.pipe(v.string(), v.maxLength(64))),
  macs: v.pipe(v.array(macSchema), v.maxLength(16)),
  model: v.optional(v.pipe(v.string(), v.maxLength(128))),
});
export type DeviceIdentity = v.InferOutput<typeof deviceIdentitySchema>;

export const BIRTH_RECORD_BYTES_MAX = 1024;
