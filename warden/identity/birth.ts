// The birth record: the device's first identity, written once. [ID-6]
import { asFault, Fault } from "../../hal/fault.ts";
import {
  BIRTH_RECORD,
  type BirthRecord,
  type Chip,
  type DeviceIdentity,
  type Fingerprint,
  type Protection,
} from "../../hal/format/identity.ts";
import { defined } from "../../hal/format/defined.ts";
import type { DurableFiles } from "../../hal/ports.ts";
import { createMutex } from "../../hal/mutex.ts";
import { readRecord, writeRecord } from "../../hal/record.ts";

const BIRTH_FILE = "birth.json";

/**
 * The record on disk; undefined before the first identity.
 * @throws Fault `birth.unreadable` for a record that exists and cannot be used. It is neither
 *   repaired nor replaced: only the owner's reset removes it.
 */
export async function readBirth(files: DurableFiles): Promise<BirthRecord | undefined> {
  try {
    return await readRecord(files, BIRTH_FILE, BIRTH_RECORD);
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
    if (written.protection === key.protection && written.keyFingerprint === key.keyFingerprint) return written;
    throw new Fault(
      "birth.conflict",
      `record the birth of "${identity.id}" with key ${key.keyFingerprint}: the device was born as "${written.id}" with key ${written.keyFingerprint} in ${written.protection}; ` +
        "it keeps that identity; put that key back",
    );
  }
  const { protection, keyFingerprint, chip } = key;
  const record: BirthRecord = {
    v: 2,
    id: identity.id,
    source: identity.source,
    protection,
    keyFingerprint,
    ...defined({ chip }),
  };
  await writeRecord(files, BIRTH_FILE, BIRTH_RECORD, record);
  return record;
}

export interface BirthBook {
  read(): Promise<BirthRecord | undefined>;
  /** The record as it was read or written last, without asking the disk. */
  known(): BirthRecord | undefined;
  record(identity: DeviceIdentity, key: FirstKey): Promise<BirthRecord>;
}

/**
 * The only writer of the record. It serves requests one after the other, so that two of them cannot
 * both find no record.
 */
export function createBirthBook(files: DurableFiles): BirthBook {
  const exclusively = createMutex();
  let known: BirthRecord | undefined;
  return {
    read: async () => (known = await readBirth(files)),
    known: () => known,
    record: (identity, key) => exclusively(async () => (known = await writeBirth(files, identity, key))),
  };
}
