// The passwords of the TPM, and how far taking or handing back got. It is written before the chip
// is changed, so that no power cut leaves a password on the chip that nobody knows. [ID-50]
import * as v from "valibot";
import { Fault } from "../../hal/fault.ts";
import { canonicalJson } from "../../hal/format/json.ts";
import { fingerprintSchema, tpmNameSchema } from "../../hal/format/identity.ts";
import { base64Schema, countSchema, listSchema } from "../../hal/format/fields.ts";
import { decodeRecord, encodeRecord, type RecordFormat } from "../../hal/format/record.ts";
import type { DurableFiles } from "../../hal/ports.ts";
import { ASIDE_BYTES_MAX, ASIDE_MAX, RECORD_BYTES_MAX } from "./limits.ts";

/** The names of the records in the warden's state. */
export const TPM_FILE = "tpm.json";
export const TPM_ASIDE_FILE = "tpm-aside.json";

const secretSchema = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/u, "expected 32 bytes in hex"));

/** [ID-50] The passwords that the warden sets, 32 random bytes each, in hex. */
const passwordsSchema = v.strictObject({
  owner: secretSchema,
  endorsement: secretSchema,
  lockout: secretSchema,
  /** Of the counter's index. */
  counter: secretSchema,
});
export type ChipPasswords = v.InferOutput<typeof passwordsSchema>;

const limitsSchema = v.strictObject({ tries: countSchema, recoveryS: countSchema, lockoutRecoveryS: countSchema });

const recordSchema = v.strictObject({
  v: v.literal(1),
  step: v.picklist(["taking", "owned", "releasing"]),
  passwords: passwordsSchema,
  /**
   * `setting`: it may be ours or not be set. `foreign`: it was tried once and is somebody else's. A
   * wrong try locks the lockout hierarchy, so what is known of it is written down.
   */
  lockout: v.picklist(["unset", "setting", "set", "foreign"]),
  /** Name of the storage root at 0x81000001. */
  storage: v.optional(tpmNameSchema),
  /**
   * `standard`: the one of TCG's template. `other`: one that was there before. `beside`: the same,
   * and the device's key lies under the standard one, which is not persistent.
   */
  storageKey: v.optional(v.picklist(["standard", "other", "beside"])),
  endorsement: v.optional(tpmNameSchema),
  /** Which persistent keys were not there before: handing back removes them. */
  made: v.strictObject({ storage: v.boolean(), endorsement: v.boolean() }),
  /** The limits of wrong tries before: handing back restores them. */
  before: limitsSchema,
  /** The owner's public key, by its hash, under which the hub keeps the passwords. */
  escrowedUnder: v.optional(fingerprintSchema),
});
export type ChipRecord = v.InferOutput<typeof recordSchema>;

const RECORD: RecordFormat<ChipRecord> = {
  what: "the record of the TPM's passwords",
  version: 1,
  readable: 1,
  bytesMax: RECORD_BYTES_MAX,
  schema: recordSchema,
  legible: true,
};

const asideSchema = v.strictObject({ v: v.literal(1), records: listSchema(base64Schema(RECORD_BYTES_MAX), ASIDE_MAX) });
type AsideRecord = v.InferOutput<typeof asideSchema>;

const ASIDE: RecordFormat<AsideRecord> = {
  what: "the record of the TPM's former passwords",
  version: 1,
  readable: 1,
  bytesMax: ASIDE_BYTES_MAX,
  schema: asideSchema,
  legible: true,
};

/** What lies in the place of the record. `bytes` are there for one that is damaged. */
export type FoundRecord = { readonly record: ChipRecord | undefined } | { readonly fault: Fault; readonly bytes: Uint8Array };

/**
 * @throws Fault of `files` for a file that is not ours or readable for others; `record.newer` for
 *   one that must stay as it is.
 */
export async function readChipRecord(files: DurableFiles): Promise<FoundRecord> {
  const bytes = await files.get(TPM_FILE, RECORD_BYTES_MAX, "private");
  if (bytes === undefined) return { record: undefined };
  try {
    return { record: decodeRecord(bytes, RECORD) };
  } catch (error) {
    if (!(error instanceof Fault) || error.code === "record.newer") throw error;
    return { fault: error, bytes };
  }
}

/** Durable when it resolves. @throws Fault of `files`; `record.newer`. */
export async function writeChipRecord(files: DurableFiles, record: ChipRecord): Promise<void> {
  const before = await files.get(TPM_FILE, RECORD_BYTES_MAX, "private");
  await files.put(TPM_FILE, encodeRecord(record, RECORD, before));
}

/**
 * Keeps a record that does not fit the chip any more, or is damaged, among the newest
 * {@link ASIDE_MAX}: the chip, or an older state of it, may come back. Durable when it resolves.
 */
export async function setRecordAside(files: DurableFiles, bytes: Uint8Array): Promise<void> {
  if (bytes.byteLength === 0) return;
  const present = await files.get(TPM_ASIDE_FILE, ASIDE_BYTES_MAX, "private");
  const text = Buffer.from(bytes).toString("base64");
  const records = asideIn(present);
  if (records[0] === text) return;
  const others = records.filter((each) => each !== text);
  const value: AsideRecord = { v: 1, records: [text, ...others].slice(0, ASIDE_MAX) };
  await files.put(TPM_ASIDE_FILE, encodeRecord(value, ASIDE, present));
}

/** The records that were set aside and can be read, the newest first. */
export async function readAside(files: DurableFiles): Promise<readonly ChipRecord[]> {
  return asideIn(await files.get(TPM_ASIDE_FILE, ASIDE_BYTES_MAX, "private")).flatMap((text) => {
    try {
      return [decodeRecord(Buffer.from(text, "base64"), RECORD)];
    } catch (error) {
      if (error instanceof Fault) return [];
      throw error;
    }
  });
}

/** One that is damaged counts as none: what it kept is of no chip that is in use. */
function asideIn(bytes: Uint8Array | undefined): readonly string[] {
  if (bytes === undefined) return [];
  try {
    return decodeRecord(bytes, ASIDE).records;
  } catch (error) {
    if (error instanceof Fault && error.code !== "record.newer") return [];
    throw error;
  }
}

/** A record as its file has it. */
export function recordBytes(record: ChipRecord): Uint8Array {
  return Buffer.from(canonicalJson({ ...record, v: RECORD.version, readable: RECORD.readable }));
}
