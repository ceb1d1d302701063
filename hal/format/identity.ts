// The machine's identity: the device id, the hardware facts it is derived from, and the birth
// record. [ID-1] [ID-3] [ID-6]
import * as v from "valibot";
import type { RecordFormat } from "./record.ts";

/**
 * [ID-1] Fits into a topic level, a certificate CN, a file name and a terminal without escaping.
 */
export const DEVICE_ID_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

export const deviceIdSchema = v.pipe(
  v.string(),
  v.regex(DEVICE_ID_PATTERN, "expected a device id of 1 to 64 letters, digits, '.', '_', '-', not starting with a sign"),
  v.brand("DeviceId"),
);
/**
 * A device id that was checked. The brand keeps unchecked strings out of topics, paths and
 * certificates.
 */
export type DeviceId = v.InferOutput<typeof deviceIdSchema>;

/** The source of the id, in the order of preference of [ID-1]. */
export const deviceIdSourceSchema = v.picklist(["commissioned", "serial", "mac", "hash"]);
export type DeviceIdSource = v.InferOutput<typeof deviceIdSourceSchema>;

/** An EUI-48 in lower case, separated by colons. */
export const macSchema = v.pipe(
  v.string(),
  v.regex(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/, "expected a MAC such as 02:00:5e:10:00:01"),
);

/**
 * What the machine says about itself, as read from DMI, device tree and sysfs, before any
 * judgement.
 */
export interface HardwareFacts {
  /** From an EEPROM, or from a file that was written with the disk. */
  readonly commissionedId: string | undefined;
  /**
   * The DMI product, board or chassis serial, or the device tree's serial-number, in that order. As
   * read, trimmed.
   */
  readonly serials: readonly string[];
  /**
   * Permanent MACs of built-in interfaces by interface name, in the kernel's order. USB adapters,
   * bridges and other virtual links are not among them.
   */
  readonly interfaces: readonly { readonly name: string; readonly mac: string }[];
  /** The DMI product name or the device tree's model, trimmed. For people. */
  readonly model: string | undefined;
}

/** [ID-96] What tells one board from another, as far as it is known. */
export const boardSchema = v.strictObject({
  /** The board's serial, unless it is a placeholder or cannot be printed. */
  serial: v.optional(v.pipe(v.string(), v.regex(/^[ -~]{1,64}$/u, "expected 1 to 64 printable characters"))),
  /** Permanent MACs of built-in interfaces; empty where none was known. */
  macs: v.pipe(v.array(macSchema), v.maxLength(16)),
});
export type Board = v.InferOutput<typeof boardSchema>;

/** For people. */
export function boardText({ serial, macs }: Board): string {
  return `serial ${serial ?? "unknown"}, MAC ${macs.length === 0 ? "unknown" : macs.join(" ")}`;
}

/** SHA-256 over the DER SubjectPublicKeyInfo. An operator compares it at approval. [ID-21] */
export const fingerprintSchema = v.pipe(v.string(), v.regex(/^sha256:[0-9a-f]{64}$/, "expected sha256: and 64 hex digits"));
export type Fingerprint = v.InferOutput<typeof fingerprintSchema>;

/**
 * What keeps the private key, strongest first. `tpm`: the chip made it and never gives it out.
 * `sealed`: made in memory, stored so that only this chip opens it, and in memory while it is used.
 * `file`: readable for whoever reads the disk. It is always reported, so that an auditor need not
 * guess. [ID-4]
 */
export const PROTECTIONS = ["tpm", "sealed", "file"] as const;
export const protectionSchema = v.picklist(PROTECTIONS);
export type Protection = v.InferOutput<typeof protectionSchema>;

/** Whether `one` keeps a key less safe than `other` does. */
export function isWeaker(one: Protection, other: Protection): boolean {
  return PROTECTIONS.indexOf(one) > PROTECTIONS.indexOf(other);
}

/** The Name of a TPM key with a SHA-256 Name, in hex. (TPM 2.0 Part 1, Names) */
export const tpmNameSchema = v.pipe(v.string(), v.regex(/^000b[0-9a-f]{64}$/, "expected 000b and 64 hex digits"));

/**
 * Which TPM a key belongs to. Another storage root with the same endorsement key is the same chip
 * after TPM2_Clear; another endorsement key is another chip.
 */
export const chipSchema = v.strictObject({
  /** Name of the storage root, the parent of the key. */
  storage: tpmNameSchema,
  /** Name of the endorsement key, where it could be read. */
  endorsement: v.optional(tpmNameSchema),
});
export type Chip = v.InferOutput<typeof chipSchema>;

/**
 * [ID-6] The public birth record. It lies outside the encrypted data partition, so that a missing
 * TPM or a lost key is reported instead of being answered with a new identity. The warden writes it
 * once, and again only for a stronger key that an order has granted; only the owner's reset removes
 * it.
 */
export const birthRecordSchema = v.strictObject({
  /** 1: without `chip`; 2: without `board`. */
  v: v.picklist([1, 2, 3]),
  id: deviceIdSchema,
  source: deviceIdSourceSchema,
  protection: protectionSchema,
  keyFingerprint: fingerprintSchema,
  /** Of a key that is bound to a TPM. */
  chip: v.optional(chipSchema),
  /** The board that the device was born on. [ID-96] */
  board: v.optional(boardSchema),
  /** The fingerprint of the key that this one has replaced by an operator's order. [ID-67] */
  previous: v.optional(fingerprintSchema),
});
export type BirthRecord = v.InferOutput<typeof birthRecordSchema>;

/** What the agent needs to know of the machine's identity, as the warden reports it. */
export const deviceIdentitySchema = v.strictObject({
  id: deviceIdSchema,
  source: deviceIdSourceSchema,
  /** The board's serial when it is usable. It goes into the CSR as serialNumber. */
  boardSerial: v.optional(v.pipe(v.string(), v.maxLength(64))),
  macs: v.pipe(v.array(macSchema), v.maxLength(16)),
  model: v.optional(v.pipe(v.string(), v.maxLength(128))),
});
export type DeviceIdentity = v.InferOutput<typeof deviceIdentitySchema>;

export const BIRTH_RECORD: RecordFormat<BirthRecord> = {
  what: "the birth record",
  version: 3,
  readable: 1,
  bytesMax: 4096,
  schema: birthRecordSchema,
  legible: true,
};
