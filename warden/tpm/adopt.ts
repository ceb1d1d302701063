// The way back of escrowed passwords: the owner puts a record into the warden's state, and the
// warden takes it at its start once the chip has proven it. [ID-56]
import { asFault, Fault } from "../../hal/fault.ts";
import type { DeviceId } from "../../hal/format/identity.ts";
import { canonicalJson } from "../../hal/format/json.ts";
import { clip } from "../../hal/format/text.ts";
import type { ChipAuths, ChipView, DurableFiles, TpmChip } from "../../hal/ports.ts";
import type { AuditEntry } from "../audit/format/index.ts";
import { CHIP_SECRETS_BYTES_MAX, type ChipSecrets, parseSecrets } from "../escrow/format/index.ts";
import { WHY_CHARACTERS_MAX } from "./limits.ts";
import { type ChipRecord, readChipRecord, recordBytes, setRecordAside, writeChipRecord } from "./record.ts";

/** In the warden's state, put there by hand with mode 0600. */
export const RESTORE_FILE = "tpm-restore.json";
/** Where one goes that was refused, so that it is not tried again and the owner can look at it. */
export const REFUSED_FILE = "tpm-restore.refused.json";

export interface AdoptionPorts {
  readonly chip: Pick<TpmChip, "look" | "proves">;
  /** The warden's state. */
  readonly files: DurableFiles;
  readonly deviceId: DeviceId;
  /** Records in the audit trail. Never throws. */
  readonly record: (entry: AuditEntry) => Promise<void>;
}

/**
 * [ID-56] Takes the passwords that lie in {@link RESTORE_FILE}, if they are this device's and this
 * chip's. Only passwords of which a wrong try costs nothing are tried here. The lockout's is left
 * as one that may not be set, so that the ownership tries it once.
 * @returns why they were not taken; undefined when they were, or when there is nothing to take.
 *   Never rejects.
 */
export async function adoptPasswords(ports: AdoptionPorts): Promise<Fault | undefined> {
  try {
    return await adoptFrom(ports);
  } catch (error) {
    const { code, message } = asFault(error, "file.read-failed", "read it");
    return new Fault(code, `${RESTORE_FILE} stays where it is, and is tried again at the next start: ${message}`, {
      cause: error,
    });
  }
}

/** @throws Fault of the files and of the chip, after which the file is tried again. */
async function adoptFrom({ chip, files, deviceId, record }: AdoptionPorts): Promise<Fault | undefined> {
  const bytes = await files.get(RESTORE_FILE, CHIP_SECRETS_BYTES_MAX, "private");
  if (bytes === undefined) return undefined;
  const secrets = secretsIn(bytes);
  const why = secrets instanceof Fault ? secrets : await whyNot(secrets, chip, deviceId);
  if (why === undefined && !(secrets instanceof Fault)) {
    await take(files, secrets);
    const { storage, madeAt } = secrets;
    await record({ event: "tpm.adopted", result: "ok", detail: { storage, madeAt } });
    return undefined;
  }
  await files.put(REFUSED_FILE, bytes);
  await files.remove(RESTORE_FILE);
  const { code, message } = why ?? new Fault("escrow.refused", "it is not of use");
  const fault = new Fault(code, `${RESTORE_FILE} was refused and is ${REFUSED_FILE} now; nothing else was changed: ${message}`);
  await record({ event: "tpm.adopted", result: "refused", detail: { code, why: clip(message, WHY_CHARACTERS_MAX) } });
  return fault;
}

function secretsIn(bytes: Uint8Array): ChipSecrets | Fault {
  try {
    return parseSecrets(bytes, "the record");
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
}

/** What costs nothing comes first: the device, the chip, then its passwords. */
async function whyNot(secrets: ChipSecrets, chip: AdoptionPorts["chip"], deviceId: DeviceId): Promise<Fault | undefined> {
  if (secrets.deviceId !== deviceId)
    return new Fault("escrow.not-this-device", `it is of "${secrets.deviceId}", and this device is "${deviceId}"`);
  const view = await chip.look();
  const other = whyNotTheChip(secrets, view);
  if (other !== undefined) return other;
  const auths = authsIn(secrets, view);
  for (const whose of ["endorsement", "owner"] as const) {
    if (!view.passwords[whose])
      return new Fault(
        "escrow.refused",
        `the TPM has no ${whose} password, so there is nothing to give back; restart without it`,
      );
    if (!(await chip.proves(whose, auths)))
      return new Fault(
        "escrow.refused",
        `its ${whose} password is not the one of the TPM; an older or a newer one may be in the escrow: sallyport-hub devices escrow ID lists them`,
      );
  }
  return undefined;
}

function whyNotTheChip(secrets: ChipSecrets, { storage, endorsement }: ChipView): Fault | undefined {
  if (storage?.name === secrets.storage) return undefined;
  if (storage === undefined)
    return new Fault(
      "escrow.not-this-device",
      "the TPM has no storage root: it was cleared since, or is another one; restart without the record, and it is taken anew",
    );
  const isSameChip = secrets.endorsement !== undefined && endorsement?.name === secrets.endorsement;
  return new Fault(
    "escrow.not-this-device",
    isSameChip
      ? "the TPM was cleared since, which removed these passwords; restart without the record, and it is taken anew"
      : `it is of another TPM: the storage root of this one is ${storage.name ?? "of another kind"}, and that of the record ${secrets.storage}`,
  );
}

function authsIn({ passwords }: ChipSecrets, view: ChipView): ChipAuths {
  const bytes = (hex: string): Uint8Array => Buffer.from(hex, "hex");
  return {
    owner: bytes(passwords.owner),
    endorsement: bytes(passwords.endorsement),
    lockout: view.passwords.lockout ? bytes(passwords.lockout) : new Uint8Array(),
    counter: bytes(passwords.counter),
  };
}

/** A former record is kept aside. The file is removed last: a power cut before repeats this. */
async function take(
  files: DurableFiles,
  { passwords, storage, storageKey, endorsement, made, before }: ChipSecrets,
): Promise<void> {
  const found = await readChipRecord(files);
  const present = "record" in found ? found.record : undefined;
  if (canonicalJson(present?.passwords ?? null) !== canonicalJson(passwords)) {
    const former = "record" in found ? (present === undefined ? new Uint8Array() : recordBytes(present)) : found.bytes;
    await setRecordAside(files, former);
    const taken: ChipRecord = {
      v: 1,
      step: "owned",
      passwords,
      lockout: "setting",
      storage,
      ...(storageKey === undefined ? {} : { storageKey }),
      ...(endorsement === undefined ? {} : { endorsement }),
      made,
      before,
    };
    await writeChipRecord(files, taken);
  }
  await files.remove(RESTORE_FILE);
}
