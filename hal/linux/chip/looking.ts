// What is asked of a chip without a password: who owns it, what lies where its owner's things lie,
// and whether a key there can serve.
import { Fault } from "../../fault.ts";
import type { ChipPulse, ChipView, KeptChipKey } from "../../ports.ts";
import {
  ENDORSEMENT_TEMPLATE,
  getCapability,
  lockoutState,
  NV,
  nvReadPublic,
  OBJECT,
  ownership,
  PERSISTENT,
  property,
  PROPERTY,
  type PublicArea,
  readPublicOf,
  type Tpm,
} from "../tpm/index.ts";

/**
 * The index of the counter. It lies in the owner's range, 0x01800000 to 0x01BFFFFF. (TCG, Registry
 * of Reserved TPM 2.0 Handles)
 */
export const COUNTER_INDEX = 0x0180_5a11;
/**
 * A counter that its own password writes and reads, without protection against dictionary attacks:
 * the password is random, and a power cut or another program must not lock it.
 */
export const COUNTER_ATTRIBUTES = NV.counter | NV.authRead | NV.authWrite | NV.noDa;
export const COUNTER_BYTES = 8;

/**
 * What a storage root must be: made in this chip, so that nobody else knows its private part, and
 * usable with its password, which no lockout locks.
 */
const STORAGE_ROOT =
  OBJECT.fixedTpm |
  OBJECT.fixedParent |
  OBJECT.sensitiveDataOrigin |
  OBJECT.userWithAuth |
  OBJECT.noDa |
  OBJECT.restricted |
  OBJECT.decrypt;

export async function readPulse(tpm: Tpm): Promise<ChipPulse> {
  const { hasOwnerPassword, hasEndorsementPassword, hasLockoutPassword, isClearForbidden } = await ownership(tpm);
  const { isLockedOut, failures, failuresMax, recoveryS } = await lockoutState(tpm);
  return {
    passwords: { owner: hasOwnerPassword, endorsement: hasEndorsementPassword, lockout: hasLockoutPassword },
    isClearForbidden,
    isLockedOut,
    failures,
    limits: { tries: failuresMax, recoveryS, lockoutRecoveryS: (await property(tpm, PROPERTY.lockoutRecovery)) ?? 0 },
  };
}

export async function readView(tpm: Tpm): Promise<ChipView> {
  return {
    ...(await readPulse(tpm)),
    storage: await keptKey(tpm, PERSISTENT.storageRoot, isStorageRoot),
    endorsement: await keptKey(tpm, PERSISTENT.endorsement, isEndorsementKey),
    counter: await counterAt(tpm),
  };
}

/** Pure. Any storage key of P-256 that the chip made. */
export function isStorageRoot(area: PublicArea): boolean {
  return area.type === "ecc" && area.cipher === "aes128-cfb" && (area.attributes & STORAGE_ROOT) === STORAGE_ROOT;
}

function isEndorsementKey(area: PublicArea): boolean {
  const { type, attributes, authPolicy } = ENDORSEMENT_TEMPLATE;
  return area.type === type && area.attributes === attributes && Buffer.from(area.authPolicy).equals(authPolicy);
}

async function keptKey(tpm: Tpm, handle: number, isFit: (area: PublicArea) => boolean): Promise<KeptChipKey | undefined> {
  try {
    const { name, area } = await readPublicOf(tpm, handle);
    return { name: hexOf(name), isFit: isFit(area) };
  } catch (error) {
    if (isMissing(error)) return undefined;
    // A key of a kind that these commands do not know.
    if (error instanceof Fault && error.code === "tpm.protocol") return { name: undefined, isFit: false };
    throw error;
  }
}

async function counterAt(tpm: Tpm): Promise<ChipView["counter"]> {
  const { data } = await getCapability(tpm, "handles", COUNTER_INDEX, 1);
  if (data.kind !== "handles" || data.items[0] !== COUNTER_INDEX) return undefined;
  try {
    const { area } = await nvReadPublic(tpm, COUNTER_INDEX);
    return (area.attributes & ~NV.written) === COUNTER_ATTRIBUTES && area.bytes === COUNTER_BYTES ? "fit" : "other";
  } catch (error) {
    if (error instanceof Fault && error.code === "tpm.protocol") return "other";
    throw error;
  }
}

/** Whether `error` says that nothing lies under a handle. */
export function isMissing(error: unknown): boolean {
  return error instanceof Fault && error.code === "tpm.missing";
}

export function hexOf(name: Uint8Array): string {
  return Buffer.from(name).toString("hex");
}
