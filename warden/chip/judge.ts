// The judgement whether the TPM of this machine is the one that the device was born with. Pure.
// [ID-70] [ID-71]
import type { ChipReading } from "../../hal/chip.ts";
import { Fault } from "../../hal/fault.ts";
import type { BirthRecord } from "../../hal/format/identity.ts";

/** `absent` may mean that its driver comes late; the three others that are `gone` are certain. */
export type ChipVerdict =
  /** The key is bound to no TPM, or nobody was born here yet. */
  | { readonly is: "free" }
  | { readonly is: "own" }
  | { readonly is: "unknown"; readonly fault: Fault }
  | { readonly is: "absent"; readonly fault: Fault }
  | { readonly is: "gone"; readonly fault: Fault };

/**
 * @param found what was read, undefined for no chip, or the fault for which nothing could be read.
 * @param place where the chip is looked for, for the message.
 */
export function judgeChip(birth: BirthRecord | undefined, found: ChipReading | Fault | undefined, place: string): ChipVerdict {
  if (birth === undefined || birth.protection === "file") return { is: "free" };
  if (found === undefined) return { is: "absent", fault: missing(birth, place) };
  if (found instanceof Fault) return { is: "unknown", fault: unavailable(birth, found.message) };
  const { chip } = birth;
  // a record of a version that did not write down which chip it was
  if (chip === undefined) return { is: "own" };
  const isEndorsementKnown = chip.endorsement !== undefined && found.endorsement !== undefined;
  if (isEndorsementKnown && chip.endorsement !== found.endorsement) return { is: "gone", fault: notThisBoard(birth) };
  if (found.roots.includes(chip.storage)) return { is: "own" };
  // Another password of the owner hides a derived root. A clear would have taken the password away.
  if (!found.isComplete)
    return isEndorsementKnown ? { is: "own" } : { is: "unknown", fault: unavailable(birth, "it does not say which one it is") };
  return { is: "gone", fault: cleared(birth, isEndorsementKnown) };
}

/** What follows, the same for every reason. */
const MEANWHILE = "the doors are shut, and no new key is made";

function born({ id, protection }: BirthRecord): string {
  return `"${id}" was born with its key ${protection === "tpm" ? "in" : "sealed to"} a TPM`;
}

function missing(birth: BirthRecord, place: string): Fault {
  return new Fault(
    "key.tpm-missing",
    `TPM missing: ${born(birth)}, and there is none at "${place}"; ${MEANWHILE}; the key is not lost: ` +
      "plug the TPM in or enable it in the firmware's setup, or put this disk back into its own board",
  );
}

function notThisBoard(birth: BirthRecord): Fault {
  return new Fault(
    "key.not-this-board",
    `not this board: ${born(birth)}, and this is another one; ${MEANWHILE}; ` +
      "put this disk back into its own board, or that TPM into this one; if they are lost, an operator replaces the key",
  );
}

/** @param isCertain false where another chip cannot be told from a cleared one. [ID-47] */
function cleared(birth: BirthRecord, isCertain: boolean): Fault {
  const what = isCertain
    ? "which somebody has cleared since"
    : "and this one was cleared since, or is another one: its endorsement key cannot be compared";
  return new Fault(
    "key.tpm-cleared",
    `TPM cleared: ${born(birth)}, ${what}; ${MEANWHILE}; ` +
      "the key cannot come back: an operator replaces it, and finds out who cleared the TPM",
  );
}

function unavailable(birth: BirthRecord, why: string): Fault {
  return new Fault("key.tpm-unavailable", `${born(birth)}, which cannot be used now: ${why}; the doors are shut until it can`);
}
