// The birth record: the device's first identity, written once, and the upgrades of its key, each of
// which an order has granted. [ID-6] [ID-67]
import { asFault, Fault } from "../../hal/fault.ts";
import {
  BIRTH_RECORD,
  type BirthRecord,
  type Chip,
  type DeviceIdentity,
  type Fingerprint,
  isWeaker,
  type Protection,
} from "../../hal/format/identity.ts";
import { defined } from "../../hal/format/defined.ts";
import type { DurableFiles } from "../../hal/ports.ts";
import { createMutex } from "../../hal/mutex.ts";
import { readRecord, writeRecord } from "../../hal/record.ts";
import { boardOf } from "./board.ts";

const BIRTH_FILE = "birth.json";

/**
 * Strongest first. On FAT no file that has bytes is written again, so the record of an upgraded key
 * is a file of its own beside the first one. A key only becomes stronger, so these are all.
 */
const RECORD_FILES = ["birth-tpm.json", "birth-sealed.json", BIRTH_FILE] as const;

/** The file of the record of a key that has replaced another one. */
export function upgradedRecordFile(protection: Protection): string {
  return `birth-${protection}.json`;
}

/**
 * The record in force on disk; undefined before the first identity.
 * @throws Fault `birth.unreadable` for a record that exists and cannot be used. It is neither
 *   repaired nor replaced: only the owner's reset removes it.
 */
export async function readBirth(files: DurableFiles): Promise<BirthRecord | undefined> {
  try {
    for (const name of RECORD_FILES) {
      const record = await readRecord(files, name, BIRTH_RECORD);
      if (record !== undefined) return record;
    }
    return undefined;
  } catch (error) {
    const fault = asFault(error, "file.read-failed", "read the birth record");
    throw new Fault("birth.unreadable", `the birth record cannot be used and is kept as it is: ${fault.message}`, {
      cause: fault,
    });
  }
}

/** What the agent reports about its first key. Id and source are the warden's own. */
export interface FirstKey {
  readonly protection: Protection;
  readonly keyFingerprint: Fingerprint;
  /** The TPM that protects it, so that another one is recognized without the key. [ID-47] */
  readonly chip?: Chip | undefined;
}

/**
 * [ID-6] Writes the record of `identity` and its first key, or finds the same record written. Calls
 * must not overlap: see {@link createBirthBook}.
 * @throws Fault `birth.conflict` when another record exists; `birth.unreadable`; those of the
 *   files.
 */
async function writeBirth(files: DurableFiles, identity: DeviceIdentity, key: FirstKey): Promise<BirthRecord> {
  const written = await readBirth(files);
  if (written !== undefined) {
    if (isRecordOf(written, key)) return written;
    throw new Fault(
      "birth.conflict",
      `record the birth of "${identity.id}" with key ${key.keyFingerprint}: the device was born as "${written.id}" with key ${written.keyFingerprint} in ${written.protection}; ` +
        "it keeps that identity; put that key back",
    );
  }
  const { protection, keyFingerprint, chip } = key;
  const record: BirthRecord = {
    v: 3,
    id: identity.id,
    source: identity.source,
    protection,
    keyFingerprint,
    ...defined({ chip }),
    board: boardOf(identity),
  };
  await writeRecord(files, BIRTH_FILE, BIRTH_RECORD, record);
  return record;
}

/** What a grant allows. */
export interface GrantedReplacement {
  readonly from: Fingerprint;
  /** The weakest protection of the new key. */
  readonly to: Protection;
}

/**
 * [ID-67] Id and source stay, so this is no second identity.
 * @throws as {@link BirthBook.replace}.
 */
async function writeUpgrade(files: DurableFiles, key: FirstKey, granted: GrantedReplacement | undefined): Promise<BirthRecord> {
  const written = await readBirth(files);
  // the answer to an earlier call was lost
  if (written?.previous !== undefined && isRecordOf(written, key)) return written;
  if (written === undefined || granted === undefined || granted.from !== written.keyFingerprint)
    throw new Fault(
      "birth.conflict",
      `replace the key of the birth record by ${key.keyFingerprint}: no operator's order key.upgrade allows that now; give one`,
    );
  if (isWeaker(key.protection, granted.to) || !isWeaker(written.protection, key.protection))
    throw new Fault(
      "key.weaker",
      `replace the ${written.protection} key of the birth record by a ${key.protection} key: the order is for a key that is ${granted.to} or stronger`,
    );
  const { protection, keyFingerprint, chip } = key;
  const record: BirthRecord = {
    v: 3,
    id: written.id,
    source: written.source,
    protection,
    keyFingerprint,
    ...defined({ chip, board: written.board }),
    previous: written.keyFingerprint,
  };
  await writeRecord(files, upgradedRecordFile(key.protection), BIRTH_RECORD, record);
  return record;
}

function isRecordOf(record: BirthRecord, { protection, keyFingerprint }: FirstKey): boolean {
  return record.protection === protection && record.keyFingerprint === keyFingerprint;
}

export interface BirthBook {
  read(): Promise<BirthRecord | undefined>;
  /** The record as it was read or written last, without asking the disk. */
  known(): BirthRecord | undefined;
  record(identity: DeviceIdentity, key: FirstKey): Promise<BirthRecord>;
  /**
   * Replaces the key of the record, or finds that it was replaced by this one. After a power cut
   * the old record is in force or the new one.
   * @param granted what an order allows; undefined when none does.
   * @throws Fault `birth.conflict` without a grant for the recorded key; `key.weaker`;
   *   `birth.unreadable`; those of the files.
   */
  replace(key: FirstKey, granted: GrantedReplacement | undefined): Promise<BirthRecord>;
}

/**
 * The only writer of the record. It serves requests one after the other, so that two of them cannot
 * both find no record.
 */
export function createBirthBook(files: DurableFiles): BirthBook {
  const exclusively = createMutex();
  let known: BirthRecord | undefined;
  return {
    read: () => exclusively(async () => (known = await readBirth(files))),
    known: () => known,
    record: (identity, key) => exclusively(async () => (known = await writeBirth(files, identity, key))),
    replace: (key, granted) => exclusively(async () => (known = await writeUpgrade(files, key, granted))),
  };
}
