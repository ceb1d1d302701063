// The choice of the store that holds the device key: the strongest that can be used when a key is
// made, and from then on the one that has the key. [ID-4] [ID-6] [ID-49]
import type { DeviceKey, KeyStore } from "../../ports.ts";
import { Fault } from "../../fault.ts";
import { defined } from "../../format/defined.ts";
import { type BirthRecord, isWeaker, type Protection, PROTECTIONS } from "../../format/identity.ts";
import { isUnreadable } from "../../damaged-files.ts";
import type { ChipKeyStore, Obstacle } from "./stores.ts";

/** What the owner configured. "auto" takes the strongest that can be used. */
export type WantedStore = "auto" | Protection;

export interface KeyStores {
  readonly tpm: ChipKeyStore;
  readonly sealed: ChipKeyStore;
  readonly file: KeyStore;
}

export interface ChoiceOptions extends KeyStores {
  readonly wanted: WantedStore;
  /** Names the key that counts. Nothing new is made for a device that was born. */
  readonly birth?: BirthRecord | undefined;
  /**
   * Whether to ask, for a key that exists, why it is not protected better. That takes the TPM's
   * time.
   */
  readonly explain?: boolean;
  /**
   * Whether the first key of a device may wait for a TPM that is there and has a trouble of the
   * moment. Otherwise `auto` takes what can be used now, for good.
   */
  readonly mayWait?: boolean;
}

export interface ChosenStore {
  readonly store: KeyStore;
  /**
   * The key that was found, so that it need not be loaded twice. Without it, the store must make
   * one.
   */
  readonly key?: DeviceKey;
  /** For an operator: why the key is not protected better, or what else was found. */
  readonly note?: string;
}

/** A store and what it has: a key, or one that cannot be loaded. */
type Found =
  | { readonly store: KeyStore; readonly key: DeviceKey }
  | { readonly store: KeyStore; readonly key?: undefined; readonly fault: Fault };

/**
 * Looks for keys first, and asks whether the TPM can be used only when there is none. A key that
 * cannot be loaded is a fault and never a reason to make another. [ID-6]
 * @throws Fault `key.tpm-missing`, `key.not-this-board`, `key.tpm-cleared`, `key.tpm-unavailable`
 *   (also when the TPM is configured by name and cannot be used, and while the first key waits for
 *   one), `key.mismatch`, and those of the
 *   stores' files.
 */
export async function chooseKeyStore(options: ChoiceOptions): Promise<ChosenStore> {
  const { birth } = options;
  const found: Found[] = [];
  for (const protection of PROTECTIONS) {
    const result = await lookInto(options[protection], birth);
    if (result !== undefined) found.push(result);
  }
  const settled = birth === undefined ? found[0] : await born(birth, found, options);
  if (settled === undefined) return birth === undefined ? chooseForNew(options) : { store: options[birth.protection] };
  if (settled.key === undefined) throw settled.fault;
  const { store, key } = settled;
  return { store, key, ...defined({ note: await noteOn(store.protection, found.length, options) }) };
}

/** Faults of one store must not hide the key that is in another. */
async function lookInto(store: KeyStore, birth: BirthRecord | undefined): Promise<Found | undefined> {
  try {
    const key = await store.load(birth?.chip);
    return key && { store, key };
  } catch (error) {
    const isOfTheKey = error instanceof Fault && (error.code.startsWith("key.") || isUnreadable(error));
    if (!isOfTheKey) throw error;
    return { store, fault: error };
  }
}

/**
 * What belongs to the birth record: its key, in whichever store; else the fault of its store, else
 * the strongest of the others, which is the wrong one.
 * @returns undefined when there is no key at all and its TPM is not to blame.
 * @throws Fault `key.tpm-missing`, `key.not-this-board`, `key.tpm-cleared`, `key.tpm-unavailable`
 *   when the key is gone and so is the TPM that it was born in: the record is what tells. [ID-47]
 */
async function born(birth: BirthRecord, found: readonly Found[], stores: KeyStores): Promise<Found | undefined> {
  const own = found.find(({ key }) => key?.fingerprint === birth.keyFingerprint);
  if (own !== undefined) return own;
  const broken = found.find(({ store, key }) => store.protection === birth.protection && key === undefined);
  if (broken !== undefined) return broken;
  const stranger = birth.protection === "file" ? undefined : await stores[birth.protection].stranger(birth.chip);
  if (stranger !== undefined)
    throw new Fault(stranger.code, `load the device key (${birth.protection}, by the birth record): ${stranger.message}`);
  return found.find(({ key }) => key !== undefined);
}

/** @throws Fault `key.tpm-unavailable` when what is configured by name cannot be used. */
async function chooseForNew({ wanted, mayWait = false, ...stores }: ChoiceOptions): Promise<ChosenStore> {
  if (wanted === "file") return { store: stores.file };
  if (wanted !== "auto") {
    const why = await stores[wanted].unavailable();
    if (why === undefined) return { store: stores[wanted] };
    throw new Fault("key.tpm-unavailable", `make the device key (${wanted}, as configured): ${why}`);
  }
  const tpm = await stores.tpm.obstacle();
  if (tpm === undefined) return { store: stores.tpm };
  if (mayWait && tpm.mayPass) throw waiting(tpm);
  const sealed = await stores.sealed.obstacle();
  if (sealed === undefined)
    return { store: stores.sealed, note: `the key is sealed by the TPM, and not inside it: ${tpm.reason}` };
  if (mayWait && sealed.mayPass) throw waiting(sealed);
  const both = sealed.reason === tpm.reason ? tpm.reason : `${tpm.reason}; nor can a key be sealed: ${sealed.reason}`;
  return { store: stores.file, note: `no TPM is used: ${both}` };
}

function waiting({ reason }: Obstacle): Fault {
  return new Fault("key.tpm-unavailable", `make the device key in the TPM, which is there: ${reason}; it is tried again`);
}

const PLACES = { tpm: "in the TPM", sealed: "sealed by the TPM", file: "in a file" } as const;

/** For a key that exists. */
async function noteOn(protection: Protection, keys: number, options: ChoiceOptions): Promise<string | undefined> {
  const { wanted, explain = false } = options;
  const remarks: string[] = [];
  if (keys > 1) remarks.push(`there are ${keys} device keys; the one ${PLACES[protection]} counts`);
  if (wanted !== protection && (wanted !== "auto" || protection !== "tpm"))
    remarks.push(`the device key was made ${PLACES[protection]} before, and stays there`);
  const stronger = PROTECTIONS.filter((one) => isWeaker(protection, one) && (wanted === "auto" || one === wanted));
  for (const one of explain ? stronger : []) {
    const why = await options[one].unavailable();
    remarks.push(why ?? `a new one could be kept ${PLACES[one]}`);
    if (why === undefined) break;
  }
  return remarks.length === 0 ? undefined : [...new Set(remarks)].join("; ");
}
