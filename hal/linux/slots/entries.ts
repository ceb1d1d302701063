// The boot loader's entries as file names: the whole boot choice is in the names of the kernel images on the EFI system partition. Pure. [OTA-34]
//
//   gw_GENERATION_SLOT.efi              may be booted for good
//   gw_GENERATION_SLOT+LEFT[-DONE].efi  on trial: LEFT boots remain, DONE were made
//
// systemd-boot (boot.c: boot_entry_compare, boot_entry_parse_tries, boot_entry_bump_counters; uapi-group.org: Automatic Boot Assessment) puts entries without a
// try left last, sorts the others by the sort key and version within the image and then by name, numbers as numbers and the highest first, boots the first, and
// takes one try off its name before it boots it. So the highest generation is booted: a trial while it has tries, else the committed one.
// Required of the image: the `.osrel` of every kernel image is the same, without IMAGE_VERSION, VERSION and VERSION_ID (else versions come before
// generations, and a release of a lower version would never be tried), and neither loader.conf nor an EFI variable names a default entry.
import { Fault } from "../../fault.ts";
import { type BootPlan, otherSlot, type SlotName } from "../../format/slots.ts";

export interface BootEntry {
  /** Of the file. */
  readonly name: string;
  /** 0: called off, never the choice. */
  readonly generation: number;
  readonly slot: SlotName;
  /** undefined: it needs none. */
  readonly tries: Tries | undefined;
}

export interface Tries {
  readonly left: number;
  readonly done: number;
}

/** FAT keeps the case of a name and finds it by any; firmware may write it in another one. */
const ENTRY_PATTERN = /^gw_(0|[1-9]\d{0,8})_([ab])(?:\+(\d{1,9})(?:-(\d{1,9}))?)?\.efi$/iu;

/** @returns undefined for a file that is none of ours. */
export function parseEntry(name: string): BootEntry | undefined {
  const [, generation, slot, left, done] = ENTRY_PATTERN.exec(name) ?? [];
  if (generation === undefined || slot === undefined) return undefined;
  const tries = left === undefined ? undefined : { left: Number(left), done: Number(done ?? 0) };
  return { name, generation: Number(generation), slot: slot.toLowerCase() === "a" ? "a" : "b", tries };
}

/** In lower case. */
export function entryName({ generation, slot, tries }: Omit<BootEntry, "name">): string {
  const counters = tries === undefined ? "" : `+${tries.left}${tries.done === 0 ? "" : `-${tries.done}`}`;
  return `gw_${generation}_${slot}${counters}.efi`;
}

/** As the boot loader sorts those of which it has a choice: the first first. Of two names that a power cut left of one file, the one that needs no try. */
export function sorted(entries: readonly BootEntry[]): readonly BootEntry[] {
  return entries.toSorted(
    (one, other) =>
      other.generation - one.generation ||
      other.slot.charCodeAt(0) - one.slot.charCodeAt(0) ||
      Number(one.tries !== undefined) - Number(other.tries !== undefined) ||
      (other.tries?.left ?? 0) - (one.tries?.left ?? 0),
  );
}

/** The entry that stands for a slot: the one the boot loader would take. */
export function entryOf(entries: readonly BootEntry[], slot: SlotName): BootEntry | undefined {
  return sorted(entries).find((entry) => entry.slot === slot);
}

/** The entry on trial: above the committed one. */
export function trialOf(entries: readonly BootEntry[]): BootEntry | undefined {
  const committed = committedOf(entries);
  return sorted(entries).find(
    ({ tries, generation, slot }) => tries !== undefined && generation > (committed?.generation ?? 0) && slot !== committed?.slot,
  );
}

export function committedOf(entries: readonly BootEntry[]): BootEntry | undefined {
  return sorted(entries).find(({ tries }) => tries === undefined);
}

/** A generation above all there are. */
export function nextGeneration(entries: readonly BootEntry[]): number {
  return Math.max(0, ...entries.map(({ generation }) => generation)) + 1;
}

/** @throws Fault `boot.plan-invalid` when there is nothing to boot. */
export function planOf(entries: readonly BootEntry[]): BootPlan {
  const committed = committedOf(entries);
  const trial = trialOf(entries);
  if (trial !== undefined)
    return {
      // its kernel may be lost: what is on trial can still be committed
      committed: committed?.slot ?? otherSlot(trial.slot),
      trial: { slot: trial.slot, used: trial.tries?.left === 0 },
    };
  if (committed !== undefined) return { committed: committed.slot, trial: undefined };
  throw new Fault(
    "boot.plan-invalid",
    'read the boot choice: no kernel image such as "gw_1_a.efi" is on the EFI system partition',
  );
}
