// Which TPM this is: the Names of its storage root and its endorsement key. They tell a cleared
// chip from another chip, and both from a damaged file. [ID-47]
import type { ChipReading } from "../../chip.ts";
import { Fault } from "../../fault.ts";
import type { Chip } from "../../format/identity.ts";
import {
  createPrimary,
  ENDORSEMENT_TEMPLATE,
  FIRST_HANDLE,
  HANDLE,
  handlesFrom,
  ownership,
  PERSISTENT,
  readPublicOf,
  STORAGE_TEMPLATE,
  type PublicArea,
  type Tpm,
} from "../tpm/index.ts";

/** Persistent keys that are read at most; no chip has room for so many. */
const HANDLES_READ_MAX = 64;

/**
 * The Name of the endorsement key of P-256: the persistent one, else the one that the seed of the
 * maker gives. No clear of the TPM changes it.
 * @returns undefined when neither can be had, as when the endorsement hierarchy has a password.
 */
async function endorsementName(tpm: Tpm): Promise<string | undefined> {
  const kept = await nameAt(tpm, PERSISTENT.endorsement, ENDORSEMENT_TEMPLATE);
  if (kept !== undefined || (await ownership(tpm)).hasEndorsementPassword) return kept;
  try {
    return await primaryName(tpm, HANDLE.endorsement, ENDORSEMENT_TEMPLATE);
  } catch (error) {
    // The hierarchy may be switched off. The device's key does not need it.
    if (error instanceof Fault && error.code === "tpm.refused") return undefined;
    throw error;
  }
}

/** @param name of the parent that holds the device's key. */
export async function chipWith(tpm: Tpm, name: Uint8Array): Promise<Chip> {
  const endorsement = await endorsementName(tpm);
  return { storage: hex(name), ...(endorsement !== undefined && { endorsement }) };
}

/**
 * Why this TPM does not take a key that was born in `born`.
 * @param handles where storage keys may lie besides 0x81000001.
 * @returns undefined when it is that chip, and not cleared: then the key's file is damaged.
 * @throws Fault `tpm.*`.
 */
export async function strangerTo(born: Chip, tpm: Tpm, handles: readonly number[]): Promise<Fault | undefined> {
  const endorsement = await endorsementName(tpm);
  if (born.endorsement !== undefined && endorsement !== undefined && endorsement !== born.endorsement)
    return new Fault(
      "key.not-this-board",
      "this is another TPM than the one that the device was born with: put the disk back into its board, or the board's own TPM back",
    );
  if ((await storageNames(tpm, handles)).includes(born.storage)) return undefined;
  const certain = born.endorsement !== undefined && endorsement !== undefined;
  return new Fault(
    "key.tpm-cleared",
    certain
      ? "the TPM is the device's own and was cleared, so the key in it is gone; an operator has to decide on a new key"
      : "the TPM was cleared, or it is another one (its endorsement key cannot be compared); put the device's own TPM back, or have an operator decide on a new key",
  );
}

/**
 * What the chip shows of itself to whoever asks. Any persistent key may be the one that holds the
 * device's, since the configuration may name another parent than the storage root.
 * @throws Fault `tpm.*`.
 */
export async function readChip(tpm: Tpm): Promise<ChipReading> {
  const { hasOwnerPassword, hasEndorsementPassword } = await ownership(tpm);
  const handles = (await handlesFrom(tpm, FIRST_HANDLE.persistent)).slice(0, HANDLES_READ_MAX);
  return {
    roots: await storageNames(tpm, handles),
    isComplete: !hasOwnerPassword && !hasEndorsementPassword,
    endorsement: await endorsementName(tpm),
  };
}

/** Of the keys that may hold the device's: those that can be had without a password. */
async function storageNames(tpm: Tpm, handles: readonly number[]): Promise<readonly string[]> {
  const { hasOwnerPassword, hasEndorsementPassword } = await ownership(tpm);
  const kept: (string | undefined)[] = [];
  for (const handle of [PERSISTENT.storageRoot, ...handles]) kept.push(await nameAt(tpm, handle));
  const names = [
    ...kept,
    hasOwnerPassword ? undefined : await primaryName(tpm, HANDLE.owner, STORAGE_TEMPLATE),
    hasEndorsementPassword ? undefined : await primaryName(tpm, HANDLE.endorsement, STORAGE_TEMPLATE),
  ];
  return names.filter((name) => name !== undefined);
}

async function primaryName(tpm: Tpm, hierarchy: number, template: PublicArea): Promise<string> {
  await using key = await createPrimary(tpm, hierarchy, template);
  return hex(key.name);
}

/** @param template that the key must have been made with; any when left out. */
async function nameAt(tpm: Tpm, handle: number, template?: PublicArea): Promise<string | undefined> {
  try {
    const { area, name } = await readPublicOf(tpm, handle);
    const isSame = template === undefined || (area.type === template.type && area.attributes === template.attributes);
    return isSame ? hex(name) : undefined;
  } catch (error) {
    if (error instanceof Fault && (error.code === "tpm.missing" || error.code === "tpm.protocol")) return undefined;
    throw error;
  }
}

function hex(name: Uint8Array): string {
  return Buffer.from(name).toString("hex");
}
