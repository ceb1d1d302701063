// The storage key that a device's key lies under: which one is taken when a key is made, and which
// ones are tried when it is loaded. A parent with a password is never guessed at. [ID-45]
import { Fault } from "../../fault.ts";
import {
  createPrimary,
  HANDLE,
  type KeyBlob,
  load,
  type LoadedObject,
  OBJECT,
  ownership,
  PERSISTENT,
  type PublicArea,
  readPublicOf,
  STORAGE_TEMPLATE,
  type Tpm,
  type TpmEntity,
  type Tss2Key,
} from "../tpm/index.ts";

/**
 * What the owner configured. `auto`: the storage root at 0x81000001, else the primary key of the
 * owner hierarchy, else, for sealing, that of the endorsement hierarchy, whichever needs no
 * password. A number is the persistent handle of a storage key.
 */
export type WantedParent = "auto" | "owner" | "endorsement" | number;

/** A storage key that is loaded or persistent. Give it back with `await using`. */
export interface KeyParent extends TpmEntity, AsyncDisposable {
  readonly area: PublicArea;
  /** As a TSS2 file names it: a persistent handle, or the hierarchy whose primary key it is. */
  readonly written: number;
}

const NEEDED = OBJECT.restricted | OBJECT.decrypt | OBJECT.fixedTpm | OBJECT.userWithAuth | OBJECT.noDa;

const ASK_THE_OWNER = "ask whoever owns the TPM to keep a storage key without a password at 0x81000001";

/**
 * Pure. A key that can hold ours: its own password, if it has one, is not protected against
 * dictionary attacks, so that a try with none costs nothing.
 */
function isStorageKey({ attributes }: PublicArea): boolean {
  return (attributes & NEEDED) === NEEDED;
}

/** Pure. Whether it is made as the primary key of the owner hierarchy is. */
function isLikePrimary(area: PublicArea): boolean {
  return area.type === "ecc" && area.attributes === STORAGE_TEMPLATE.attributes;
}

/** @returns undefined when nothing is there, or something that holds no keys. */
async function persistentParent(tpm: Tpm, handle: number): Promise<KeyParent | undefined> {
  try {
    const found = await readPublicOf(tpm, handle);
    if (!isStorageKey(found.area)) return undefined;
    return { ...found, written: handle, [Symbol.asyncDispose]: async () => undefined };
  } catch (error) {
    // A key of a kind that this layer does not know is none of ours either.
    if (error instanceof Fault && (error.code === "tpm.missing" || error.code === "tpm.protocol")) return undefined;
    throw error;
  }
}

async function primaryParent(tpm: Tpm, hierarchy: number): Promise<KeyParent> {
  const key = await createPrimary(tpm, hierarchy, STORAGE_TEMPLATE);
  const { handle, name, area } = key;
  return { handle, name, area, written: hierarchy, [Symbol.asyncDispose]: () => key[Symbol.asyncDispose]() };
}

/**
 * The parent of a key that is about to be made.
 * @param use `tls`: OpenSSL's provider must load the key, which it does below a persistent parent
 *   and below the primary key of the owner hierarchy (tpm2-openssl 1.3, decoder of TSS2 keys).
 * @throws Fault `tpm.auth-failed` when a password is in the way of each that may be taken;
 *   `tpm.missing` when there is no storage key at the configured handle; `tpm.invalid` when TLS
 *   cannot use the configured one; other `tpm.*`.
 */
export async function parentForMaking(tpm: Tpm, wanted: WantedParent, use: "tls" | "sealing"): Promise<KeyParent> {
  if (typeof wanted === "number") {
    const parent = await persistentParent(tpm, wanted);
    if (parent !== undefined) return parent;
    throw new Fault("tpm.missing", `there is no storage key at ${hex(wanted)}, which key.tpm.parent names; set it right`);
  }
  if (wanted === "endorsement" && use === "tls")
    throw new Fault("tpm.invalid", "OpenSSL's tpm2 provider loads no key of the endorsement hierarchy, which is configured");
  const root = wanted === "auto" ? await persistentParent(tpm, PERSISTENT.storageRoot) : undefined;
  if (root !== undefined) return root;
  const { hasOwnerPassword, hasEndorsementPassword } = await ownership(tpm);
  if (wanted !== "endorsement" && !hasOwnerPassword) return primaryParent(tpm, HANDLE.owner);
  if (wanted !== "owner" && use !== "tls" && !hasEndorsementPassword) return primaryParent(tpm, HANDLE.endorsement);
  const held = wanted === "auto" ? (use === "tls" ? "owner" : "owner and endorsement") : wanted;
  const verb = held.includes(" ") ? "hierarchies have passwords" : "hierarchy has a password";
  throw new Fault("tpm.auth-failed", `the ${held} ${verb}, which this device does not know; ${ASK_THE_OWNER}`);
}

/**
 * Loads a key under the parent that its file names, or under one that may be the same: the storage
 * root at 0x81000001 is the primary key of the owner hierarchy, kept there. Works with it and
 * flushes both.
 * @param work gets the parent that loaded the key.
 * @throws Fault `tpm.not-ours` when no parent takes the key; `tpm.auth-failed` when a password is
 *   in the way of the one that may; other `tpm.*`.
 */
export async function underParent<T>(
  tpm: Tpm,
  key: Tss2Key,
  work: (item: LoadedObject, parent: KeyParent) => Promise<T>,
): Promise<T> {
  let refused = new Fault("tpm.not-ours", "the storage key that the device's key lies under is gone");
  for (const candidate of await candidates(tpm, key.parent)) {
    await using parent = await candidate();
    await using item = await loadOrRefusal(tpm, parent, key);
    if ("fault" in item) refused = item.fault;
    else return await work(item, parent);
  }
  throw refused;
}

type Candidate = () => Promise<KeyParent>;

async function candidates(tpm: Tpm, written: number): Promise<readonly Candidate[]> {
  const { hasOwnerPassword, hasEndorsementPassword } = await ownership(tpm);
  const passwordIn = (hierarchy: string) => (): Promise<KeyParent> => {
    const why = `the ${hierarchy} password is in the way: this hierarchy has one, and the device's key lies under it`;
    return Promise.reject(new Fault("tpm.auth-failed", `${why}; the key is not lost: ${ASK_THE_OWNER}`));
  };
  if (written === HANDLE.endorsement)
    return [hasEndorsementPassword ? passwordIn("endorsement") : () => primaryParent(tpm, HANDLE.endorsement)];
  const root = await persistentParent(tpm, written === HANDLE.owner ? PERSISTENT.storageRoot : written);
  const kept: readonly Candidate[] = root === undefined ? [] : [async () => root];
  if (!hasOwnerPassword) return [...kept, () => primaryParent(tpm, HANDLE.owner)];
  // A root that looks like the primary key and refuses ours settles it: no password helps.
  return root !== undefined && isLikePrimary(root.area) ? kept : [...kept, passwordIn("owner")];
}

type Refusal = AsyncDisposable & { readonly fault: Fault };

/** A blob of another parent is `tpm.not-ours`; one that is no blob at all is refused as such. */
async function loadOrRefusal(tpm: Tpm, parent: KeyParent, blob: KeyBlob): Promise<LoadedObject | Refusal> {
  try {
    return await load(tpm, parent, blob);
  } catch (error) {
    if (!(error instanceof Fault) || (error.code !== "tpm.not-ours" && error.code !== "tpm.refused")) throw error;
    const fault = new Fault("tpm.not-ours", error.message, { cause: error });
    return { fault, [Symbol.asyncDispose]: async () => undefined };
  }
}

function hex(handle: number): string {
  return `0x${handle.toString(16)}`;
}
