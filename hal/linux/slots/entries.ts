// The boot loader's entries as file names: the whole boot choice lies in the names of the kernel
// images on the EFI system partition. Pure. [OTA-34]
// - `gw_GENERATION_SLOT.efi` may be booted without limit.
// - `gw_GENERATION_SLOT+LEFT[-DONE].efi` is on trial: LEFT boots remain, DONE were made.
//
// systemd-boot (boot.c: boot_entry_compare, boot_entry_parse_tries, boot_entry_bump_counters;
// uapi-group.org: Automatic Boot Assessment) puts entries that have no try left at the end. It
// sorts the others by the sort key and version within the image, and then by name, where it
// compares numbers as numbers and puts the highest first. It boots the first entry, and takes one
// try off its name before that. So the highest generation boots: a trial while it has tries,
// otherwise the committed one. The image must satisfy two conditions. The `.osrel` of every kernel
// image is the same and has no IMAGE_VERSION, VERSION or VERSION_ID; otherwise versions come before
// generations, and a release with a lower version would never be tried. And neither loader.conf nor
// an EFI variable names a default entry.
import { Fault } from "../../fault.ts";
import { type BootPlan, otherSlot, type SlotName } from "../../format/slots.ts";

export interface BootEntry {
  /** The name of the file. */
  readonly name: string;
  /** 0: withdrawn, never the choice. */
  readonly generation: number;
  readonly slot: SlotName;
  /** undefined when the entry needs none. */
  readonly tries: TryCounters | undefined;
}

export interface TryCounters {
  readonly left: number;
  readonly done: number;
}

/** FAT keeps the case of a name and finds it in any case; firmware may write it in another one. */
const ENTRY_PATTERN = /^gw_(0|[1-9]\d{0,8})_([ab])(?:\+(\d{1,9})(?:-(\d{1,9}))?)?\.efi$/iu;

/** @returns undefined for a file that is not an entry of ours. */
export function parseEntry(name: string): BootEntry | undefined {
  const [, generation, slot, left, done] = ENTRY_PATTERN.exec(name) ?? [];
  if (generation === undefined || slot === undefined) return undefined;
  const tries = left === undefined ? undefined : { left: Number(left), done: Number(done ?? 0) };
  return { name, generation: Number(generation), slot: slot.toLowerCase() === "a" ? "a" : "b", tries };
}

/** The name of an entry, in lower case. */
export function entryName({ generation, slot, tries }: Omit<BootEntry, "name">): string {
  const counters = tries === undefined ? "" : `+${tries.left}${tries.done === 0 ? "" : `-${tries.done}`}`;
  return `gw_${generation}_${slot}${counters}.efi`;
}

/**
 * In the boot loader's order, as far as our entries differ. Of two names that a power cut left for
 * one file, the one that needs no try comes first.
 */
export function inBootOrder(entries: readonly BootEntry[]): readonly BootEntry[] {
  return entries.toSorted(
    (one, other) =>
      other.generation - one.generation ||
      other.slot.charCodeAt(0) - one.slot.charCodeAt(0) ||
      Number(one.tries !== undefined) - Number(other.tries !== undefined) ||
      (other.tries?.left ?? 0) - (one.tries?.left ?? 0),
  );
}

/** The entry that stands for a slot: the one that the boot loader would take. */
export function entryOf(entries: readonly BootEntry[], slot: SlotName): BootEntry | undefined {
  return inBootOrder(entries).find((entry) => entry.slot === slot);
}

/** The entry on trial: above the committed one. */
export function trialEntryOf(entries: readonly BootEntry[]): BootEntry | undefined {
  const committed = committedOf(entries);
  return inBootOrder(entries).find(
    ({ tries, generation, slot }) => tries !== undefined && generation > (committed?.generation ?? 0) && slot !== committed?.slot,
  );
}

export function committedOf(entries: readonly BootEntry[]): BootEntry | undefined {
  return inBootOrder(entries).find(({ tries }) => tries === undefined);
}

/** A generation above all existing ones. */
export function nextGeneration(entries: readonly BootEntry[]): number {
  return Math.max(0, ...entries.map(({ generation }) => generation)) + 1;
}

/** @throws Fault `boot.plan-invalid` when no entry can be booted. */
export function planOf(entries: readonly BootEntry[]): BootPlan {
  const committed = committedOf(entries);
  const trial = trialEntryOf(entries);
  if (trial !== undefined)
    return {
      // the committed kernel may be lost: the entry on trial can still be committed
      committed: committed?.slot ?? otherSlot(trial.slot),
      trial: { slot: trial.slot, used: trial.tries?.left === 0 },
    };
  if (committed !== undefined) return { committed: committed.slot, trial: undefined };
  throw new Fault(
    "boot.plan-invalid",
    'read the boot choice: no kernel image such as "gw_1_a.efi" is on the EFI system partition',
  );
}
