// The chip as a whole: what it can, random numbers, its start, its owner. (Part 3, clauses 9, 10,
// 16, 24, 25 and 30)
import { Fault } from "../../fault.ts";
import { CAPABILITY, COMMAND, HANDLE, PERMANENT, PROPERTY, STARTUP } from "./constants.ts";
import { permanent } from "./objects.ts";
import { type Authorization, NO_PASSWORD, type TpmSession } from "./session.ts";
import type { Tpm } from "./tpm.ts";
import { join, sized, u16, u32, u8, type WireReader } from "./wire.ts";

/** One answer to TPM2_GetCapability holds at most this much; `more` says that there is more. */
const ITEMS_MAX = 256;
/** Answers that one question may take: no chip has so many handles. */
const ANSWERS_MAX = 64;
/** Bytes of one answer to TPM2_GetRandom that are asked for: each chip can give as many. */
const RANDOM_BYTES_MAX = 32;

/** TPMS_ALG_PROPERTY. (Part 2, table 100) */
export interface AlgorithmProperty {
  readonly algorithm: number;
  /** TPMA_ALGORITHM. */
  readonly attributes: number;
}

/** TPMS_CAPABILITY_DATA, of the kinds that this layer asks for. (Part 2, table 119) */
export type CapabilityData =
  | { readonly kind: "algorithms"; readonly items: readonly AlgorithmProperty[] }
  | { readonly kind: "handles"; readonly items: readonly number[] }
  | { readonly kind: "commands"; readonly items: readonly number[] }
  | { readonly kind: "properties"; readonly items: readonly { readonly property: number; readonly value: number }[] };

/** TPMS_CAPABILITY_DATA. (Part 2, tables 100, 101, 106, 108, 112, 113 and 119) */
export function readCapabilityData(reader: WireReader): CapabilityData {
  const capability = reader.u32();
  switch (capability) {
    case CAPABILITY.algorithms:
      return { kind: "algorithms", items: reader.list(6, () => ({ algorithm: reader.u16(), attributes: reader.u32() })) };
    case CAPABILITY.handles:
      return { kind: "handles", items: reader.list(4, () => reader.u32()) };
    case CAPABILITY.commands:
      // TPMA_CC: the low 16 bits are the command's code.
      return { kind: "commands", items: reader.list(4, () => reader.u32() & 0xffff) };
    case CAPABILITY.properties:
      return { kind: "properties", items: reader.list(8, () => ({ property: reader.u32(), value: reader.u32() })) };
    default:
      throw reader.wrong(`capability ${capability}, which was not asked for`);
  }
}

/** TPM2_GetCapability, one answer. (Part 3, clause 30.2) */
export function getCapability(
  tpm: Tpm,
  kind: CapabilityData["kind"],
  first: number,
  count = ITEMS_MAX,
): Promise<{ readonly more: boolean; readonly data: CapabilityData }> {
  const parameters = join(u32(CAPABILITY[kind]), u32(first), u32(count));
  return tpm.run({ name: "TPM2_GetCapability", code: COMMAND.getCapability, parameters }, (reader) => {
    const more = reader.u8() !== 0;
    const data = readCapabilityData(reader);
    if (data.kind !== kind || data.items.length > count) throw reader.wrong(`${data.items.length} ${data.kind}`);
    return { more, data };
  });
}

/** The handles of one kind that are in use, from {@link FIRST_HANDLE} `first` on. */
export async function handlesFrom(tpm: Tpm, first: number): Promise<readonly number[]> {
  const found: number[] = [];
  for (let next = first, answers = 0; answers < ANSWERS_MAX; answers += 1) {
    const { more, data } = await getCapability(tpm, "handles", next);
    if (data.kind === "handles") found.push(...data.items);
    const last = found.at(-1);
    if (!more || last === undefined || last < next || last === 0xffff_ffff) return found;
    next = last + 1;
  }
  throw new Fault("tpm.protocol", `the TPM lists handles without end; power-cycle the device`);
}

/** The value of one property, undefined when this TPM has none such. */
export async function property(tpm: Tpm, wanted: number): Promise<number | undefined> {
  const { data } = await getCapability(tpm, "properties", wanted, 1);
  const item = data.kind === "properties" ? data.items[0] : undefined;
  return item?.property === wanted ? item.value : undefined;
}

/** Protection against dictionary attacks, as it stands. */
export interface LockoutState {
  readonly isLockedOut: boolean;
  readonly failures: number;
  readonly failuresMax: number;
  /** Seconds after which one failure is forgotten. */
  readonly recoveryS: number;
}

/** What an operator is told about the lockout. [ID-42] */
export async function lockoutState(tpm: Tpm): Promise<LockoutState> {
  const value = async (wanted: number): Promise<number> => (await property(tpm, wanted)) ?? 0;
  return {
    isLockedOut: ((await value(PROPERTY.permanent)) & PERMANENT.inLockout) !== 0,
    failures: await value(PROPERTY.lockoutCounter),
    failuresMax: await value(PROPERTY.maxAuthFail),
    recoveryS: await value(PROPERTY.lockoutInterval),
  };
}

/** Who owns the chip, as far as it tells. (Part 2, table 34, TPMA_PERMANENT) */
export interface Ownership {
  readonly hasOwnerPassword: boolean;
  readonly hasEndorsementPassword: boolean;
  readonly hasLockoutPassword: boolean;
  readonly isClearForbidden: boolean;
}

/** Which passwords are set, and whether the lockout's may clear the chip. */
export async function ownership(tpm: Tpm): Promise<Ownership> {
  const bits = (await property(tpm, PROPERTY.permanent)) ?? 0;
  return {
    hasOwnerPassword: (bits & PERMANENT.ownerAuthSet) !== 0,
    hasEndorsementPassword: (bits & PERMANENT.endorsementAuthSet) !== 0,
    hasLockoutPassword: (bits & PERMANENT.lockoutAuthSet) !== 0,
    isClearForbidden: (bits & PERMANENT.disableClear) !== 0,
  };
}

/** TPM2_GetRandom, as often as needed. (Part 3, clause 16.1) */
export async function getRandom(tpm: Tpm, count: number, cover?: TpmSession): Promise<Uint8Array> {
  let random = new Uint8Array();
  while (random.length < count) {
    const asked = Math.min(count - random.length, RANDOM_BYTES_MAX);
    const got = await tpm.run(
      { name: "TPM2_GetRandom", code: COMMAND.getRandom, parameters: u16(asked), cover, sized: "response" },
      (reader) => {
        const bytes = reader.sized();
        if (bytes.length === 0 || bytes.length > asked) throw reader.wrong(`${bytes.length} random bytes of ${asked}`);
        return bytes;
      },
    );
    random = new Uint8Array(join(random, got));
  }
  return random;
}

/** TPM2_SelfTest of everything. (Part 3, clause 10.2) @throws Fault `tpm.not-ready` on failure. */
export function selfTest(tpm: Tpm): Promise<void> {
  return tpm.run({ name: "TPM2_SelfTest", code: COMMAND.selfTest, parameters: u8(1), isSlow: true }, () => undefined);
}

/** TPM2_Startup(CLEAR). Only for a simulator: firmware and kernel do it. (Part 3, clause 9.3) */
export function startup(tpm: Tpm): Promise<void> {
  return tpm.run({ name: "TPM2_Startup", code: COMMAND.startup, parameters: u16(STARTUP.clear) }, () => undefined);
}

/** TPM2_Shutdown(CLEAR). Only for a simulator: the kernel does it. (Part 3, clause 9.4) */
export function shutdown(tpm: Tpm): Promise<void> {
  return tpm.run({ name: "TPM2_Shutdown", code: COMMAND.shutdown, parameters: u16(STARTUP.clear) }, () => undefined);
}

/**
 * TPM2_HierarchyChangeAuth: the password of owner, endorsement or lockout. (Part 3, clause 24.8)
 * @param auth of the hierarchy up to now; with a salted session the new password is encrypted.
 */
export function hierarchyChangeAuth(
  tpm: Tpm,
  hierarchy: number,
  password: Uint8Array,
  auth: Authorization = NO_PASSWORD,
): Promise<void> {
  return tpm.run(
    {
      name: "TPM2_HierarchyChangeAuth",
      code: COMMAND.hierarchyChangeAuth,
      handles: [permanent(hierarchy)],
      auths: [auth],
      parameters: sized(password),
      sized: "command",
      authAfter: password,
    },
    () => undefined,
  );
}

/** TPM2_DictionaryAttackParameters. (Part 3, clause 25.3) @param auth of the lockout hierarchy. */
export function dictionaryAttackParameters(
  tpm: Tpm,
  {
    tries,
    recoveryS,
    lockoutRecoveryS,
  }: { readonly tries: number; readonly recoveryS: number; readonly lockoutRecoveryS: number },
  auth: Authorization = NO_PASSWORD,
): Promise<void> {
  const handles = [permanent(HANDLE.lockout)];
  return tpm.run(
    {
      name: "TPM2_DictionaryAttackParameters",
      code: COMMAND.dictionaryAttackParameters,
      handles,
      auths: [auth],
      parameters: join(u32(tries), u32(recoveryS), u32(lockoutRecoveryS)),
    },
    () => undefined,
  );
}

/** TPM2_DictionaryAttackLockReset: forgets failures. (Part 3, clause 25.2) @param auth as above. */
export function dictionaryAttackLockReset(tpm: Tpm, auth: Authorization = NO_PASSWORD): Promise<void> {
  const handles = [permanent(HANDLE.lockout)];
  return tpm.run(
    { name: "TPM2_DictionaryAttackLockReset", code: COMMAND.dictionaryAttackLockReset, handles, auths: [auth] },
    () => undefined,
  );
}

/**
 * TPM2_ClearControl: forbids TPM2_Clear, or allows it again. (Part 3, clause 24.7)
 * @param by who authorizes. Only the platform, which the firmware keeps, may allow it again.
 */
export function clearControl(
  tpm: Tpm,
  disable: boolean,
  auth: Authorization = NO_PASSWORD,
  by: "lockout" | "platform" = "lockout",
): Promise<void> {
  const handles = [permanent(HANDLE[by])];
  return tpm.run(
    { name: "TPM2_ClearControl", code: COMMAND.clearControl, handles, auths: [auth], parameters: u8(disable ? 1 : 0) },
    () => undefined,
  );
}
