// Which move comes next in taking, keeping or handing back the TPM. Pure: it compares what the chip
// tells with the record, and each move that was made shows in one of them. So it does not matter
// where a power cut came. [ID-50] [ID-52]
import { Fault } from "../../hal/fault.ts";
import type { ChipHierarchy, ChipView, TryLimits } from "../../hal/ports.ts";
import type { TpmOwnership } from "./format.ts";
import { TRY_LIMITS } from "./limits.ts";
import type { ChipRecord } from "./record.ts";

export interface Situation {
  readonly view: ChipView;
  readonly record: ChipRecord | undefined;
  /** Passwords that were tried in this pass, and whether they are the chip's. */
  readonly proofs: Readonly<Partial<Record<ChipHierarchy | "counter", boolean>>>;
  /** Moves that were made in this pass. */
  readonly made: ReadonlySet<ChipMove["do"]>;
  /** Whether a chip of nobody is taken. */
  readonly wants: "take" | "leave";
}

/** What the record knows after a move. */
export type RecordChange = Partial<Pick<ChipRecord, "step" | "lockout">>;

export type ChipMove =
  /** Nothing is left to do. */
  | { readonly do: "rest"; readonly ownership: TpmOwnership; readonly why?: Fault }
  | { readonly do: "prove"; readonly what: ChipHierarchy | "counter" }
  /** Makes passwords and writes the record. */
  | { readonly do: "begin" }
  /** The record does not fit the chip: it is kept aside. */
  | { readonly do: "set-aside"; readonly why: Fault }
  | { readonly do: "note"; readonly change: RecordChange }
  | { readonly do: "keep-storage-root" | "keep-endorsement-key" | "define-counter" | "undefine-counter" | "forbid-clear" }
  | { readonly do: "limit-tries"; readonly limits: TryLimits }
  | { readonly do: "set-password" | "empty-password"; readonly of: ChipHierarchy }
  | { readonly do: "evict"; readonly what: "storage" | "endorsement" }
  | { readonly do: "allow-clear" }
  /** Everything was handed back: the record is removed. */
  | { readonly do: "forget" };

export function decide(situation: Situation): ChipMove {
  const { record, view, wants } = situation;
  if (record === undefined) return withoutRecord(view, wants);
  if (record.step === "releasing") return handBack(situation, record);
  const why = whyNotTheChip(record, view);
  return why === undefined ? takeOrKeep(situation, record) : { do: "set-aside", why };
}

const ESCROW_OR_CLEAR =
  "put this device's record of them back from the escrow (docs/operations.md); a clear from the firmware's set-up frees the TPM too, and destroys every key in it";

/** [ID-52] Nobody's chip is taken whole; another's is left as it is. */
function withoutRecord(view: ChipView, wants: Situation["wants"]): ChipMove {
  const set = passwordsSet(view);
  if (set.length > 0) return others(`${set.join(", ")} passwords are set that this device does not know; ${ESCROW_OR_CLEAR}`);
  const wrong = wrongThing(view);
  if (wrong !== undefined) return others(wrong);
  if (wants === "leave") return { do: "rest", ownership: "nobody" };
  return { do: "begin" };
}

function passwordsSet({ passwords }: ChipView): readonly ChipHierarchy[] {
  const all = ["owner", "endorsement", "lockout"] as const;
  return all.filter((of) => passwords[of]);
}

/** What lies in the place of something of ours. */
function wrongThing({ storage, counter }: ChipView): string | undefined {
  if (storage?.isFit === false)
    return "the key at 0x81000001 is no storage root of P-256 without protection against dictionary attacks; ask whoever put it there";
  if (counter === "other") return "the NV index 0x1805a11 is another program's; ask whoever defined it";
  return undefined;
}

function others(why: string): ChipMove {
  return { do: "rest", ownership: "others", why: new Fault("tpm.owned-by-others", `the TPM belongs to somebody else: ${why}`) };
}

/**
 * A chip without any password that is another one, or was cleared: a new seed gives another storage
 * root. While somebody's passwords are set, the record stays where it is.
 */
function whyNotTheChip({ step, storage, endorsement }: ChipRecord, view: ChipView): Fault | undefined {
  if (passwordsSet(view).length > 0) return undefined;
  if (storage !== undefined && view.storage?.name !== storage) {
    const isOther = endorsement !== undefined && view.endorsement?.isFit === true && view.endorsement.name !== endorsement;
    const what = isOther ? "this is another TPM than the one whose passwords are known" : "the TPM was cleared from outside";
    return new Fault("tpm.cleared", `${what}: its storage root is not the one of before; keys that lay under it are gone`);
  }
  if (step === "owned") return new Fault("tpm.cleared", "the passwords of the TPM were removed by somebody who knew them");
  return undefined;
}

function takeOrKeep(situation: Situation, record: ChipRecord): ChipMove {
  const { view } = situation;
  const wrong = wrongThing(view);
  return (
    proof(situation) ??
    strangersPassword(situation, record) ??
    lockoutProof(situation, record) ??
    (wrong === undefined ? undefined : others(wrong)) ??
    keyInTheWay(record) ??
    keys(view, record) ??
    counter(situation, record) ??
    limits(situation, record) ??
    passwords(view, record) ??
    (record.step === "owned" ? { do: "rest", ownership: "ours" } : { do: "note", change: { step: "owned" } })
  );
}

/** [ID-50] Wrong tries of these two cost nothing. */
function proof({ view, proofs }: Situation): ChipMove | undefined {
  for (const what of ["endorsement", "owner"] as const) {
    if (!view.passwords[what]) continue;
    if (proofs[what] === undefined) return { do: "prove", what };
    if (!proofs[what]) return others(`its ${what} password is not the one that this device set; ${ESCROW_OR_CLEAR}`);
  }
  return undefined;
}

/**
 * On a chip that was cleared or swapped a password is another's, also the lockout's, which is not
 * tried to find that out.
 */
function strangersPassword({ view, proofs }: Situation, { storage }: ChipRecord): ChipMove | undefined {
  const isProven = proofs.owner === true || proofs.endorsement === true;
  const isSameChip = storage === undefined || storage === view.storage?.name;
  if (isProven || isSameChip || passwordsSet(view).length === 0) return undefined;
  return others(`it was cleared or is another one, and its ${passwordsSet(view).join(", ")} password is not this device's`);
}

/**
 * [ID-50] A wrong lockout password locks the lockout hierarchy. So it is tried only where the power
 * may have failed while it was being set, after the passwords before it were proven, and never
 * again when it was wrong.
 */
function lockoutProof({ view, proofs }: Situation, { lockout }: ChipRecord): ChipMove | undefined {
  if (!view.passwords.lockout || lockout === "set") return undefined;
  if (lockout === "setting") {
    if (proofs.lockout === undefined && proofs.owner === true && proofs.endorsement === true)
      return { do: "prove", what: "lockout" };
    if (proofs.lockout !== undefined) return { do: "note", change: { lockout: proofs.lockout ? "set" : "foreign" } };
  }
  return others("another program set the lockout password while this device took the TPM; clear it in the firmware's set-up");
}

function keys(view: ChipView, { storage, endorsement }: ChipRecord): ChipMove | undefined {
  if (storage === undefined || view.storage === undefined) return { do: "keep-storage-root" };
  return endorsement === undefined ? { do: "keep-endorsement-key" } : undefined;
}

/** [ID-52] A password on the owner hierarchy would be in the way of the device's own key. */
function keyInTheWay({ step, storageKey }: ChipRecord): ChipMove | undefined {
  if (step !== "taking" || storageKey !== "beside") return undefined;
  return others("the key at 0x81000001 is not the one that this device's key lies under; ask whoever put it there");
}

/** One that was there before its password was known to be ours is made again. */
function counter({ view, proofs }: Situation, { step }: ChipRecord): ChipMove | undefined {
  if (view.counter === undefined) return { do: "define-counter" };
  if (step === "owned") return undefined;
  if (proofs.counter === undefined) return { do: "prove", what: "counter" };
  return proofs.counter ? undefined : { do: "undefine-counter" };
}

function limits({ view, made }: Situation, { step }: ChipRecord): ChipMove | undefined {
  if (step === "taking" && !isSame(view.limits, TRY_LIMITS) && !made.has("limit-tries"))
    return { do: "limit-tries", limits: TRY_LIMITS };
  return view.isClearForbidden || made.has("forbid-clear") ? undefined : { do: "forbid-clear" };
}

/** The lockout's comes last: once it is set, nothing of the above can be done by others. */
function passwords(view: ChipView, { lockout }: ChipRecord): ChipMove | undefined {
  if (!view.passwords.endorsement) return { do: "set-password", of: "endorsement" };
  if (!view.passwords.owner) return { do: "set-password", of: "owner" };
  if (view.passwords.lockout) return undefined;
  return lockout === "setting" ? { do: "set-password", of: "lockout" } : { do: "note", change: { lockout: "setting" } };
}

/** [ID-53] In an order in which each move still has what authorizes it. */
function handBack(situation: Situation, record: ChipRecord): ChipMove {
  const { view, made } = situation;
  const unproven = proof(situation);
  if (unproven !== undefined) return unproven;
  const isLockoutOurs = record.lockout === "set" || record.lockout === "setting";
  if (view.passwords.lockout && isLockoutOurs) {
    const unsure = lockoutProof(situation, record);
    if (unsure !== undefined) return unsure;
  }
  const mayLimit = (isLockoutOurs || !view.passwords.lockout) && !made.has("limit-tries");
  if (mayLimit && !isSame(view.limits, record.before)) return { do: "limit-tries", limits: record.before };
  if (view.counter === "fit") return { do: "undefine-counter" };
  if (view.passwords.lockout && isLockoutOurs) return { do: "empty-password", of: "lockout" };
  if (view.passwords.endorsement) return { do: "empty-password", of: "endorsement" };
  if (view.passwords.owner) return { do: "empty-password", of: "owner" };
  for (const what of ["endorsement", "storage"] as const)
    if (record.made[what] && isOurs(view[what]?.name, record[what])) return { do: "evict", what };
  if (view.isClearForbidden && !made.has("allow-clear")) return { do: "allow-clear" };
  return { do: "forget" };
}

/** The power may have failed before the Name of what was made was written down. */
function isOurs(there: string | undefined, noted: string | undefined): boolean {
  return there !== undefined && (noted === undefined || noted === there);
}

function isSame(one: TryLimits, other: TryLimits): boolean {
  return one.tries === other.tries && one.recoveryS === other.recoveryS && one.lockoutRecoveryS === other.lockoutRecoveryS;
}

/** [ID-53] What handing back leaves on the chip, in words. */
export function remainsOf(view: ChipView, record: ChipRecord): readonly string[] {
  return [
    ...(view.isClearForbidden ? ["TPM2_Clear stays forbidden until the firmware allows or does it"] : []),
    ...(view.passwords.lockout ? ["the lockout password, which another program set, stays"] : []),
    ...(isSame(view.limits, record.before) ? [] : ["the limits of wrong tries stay as this device set them"]),
  ];
}
