// The command line of the installer: written by the warden, read by the installer. Pure.
import { parseArgs } from "node:util";
import { Fault } from "../../hal/fault.ts";
import { argumentErrorText } from "../../hal/format/text.ts";

/** Places on this machine. They come from the warden's configuration, never from an update. */
export interface InstallerPlaces {
  /** The directory that stands for `/`. */
  readonly root: string;
  /**
   * The directory of the slots' images where slots are files; otherwise the mount point of the EFI
   * system partition.
   */
  readonly slots: string | { readonly esp: string };
  readonly handover: string;
}

/**
 * V8 grows its young generation with every buffer, and malloc keeps what threads have freed.
 * Measured in docs/decisions/0007-casync-chunks.md. SIGUSR1 opens no inspector [OPS-34].
 */
export const INSTALLER_OPTIONS = ["--max-semi-space-size=1", "--max-old-space-size=32", "--disable-sigusr1"];
export const INSTALLER_ENVIRONMENT = { MALLOC_ARENA_MAX: "1", MALLOC_MMAP_THRESHOLD_: "32768" };

/**
 * @param program path of the installer's main file.
 * @returns arguments for Node, and its environment.
 */
export function installerCommand(
  program: string,
  { root, slots, handover }: InstallerPlaces,
): { readonly args: readonly string[]; readonly env: Readonly<Record<string, string>> } {
  return {
    args: [...INSTALLER_OPTIONS, program, "--root", root, ...slotsArgs(slots), "--handover", handover],
    env: INSTALLER_ENVIRONMENT,
  };
}

/** @throws Fault `usage.invalid`. */
export function installerPlaces(argv: readonly string[]): InstallerPlaces {
  const { root, slots, esp, handover } = parsed(argv);
  const place = slots ?? (esp === undefined ? undefined : { esp });
  if (root === undefined || place === undefined || (slots !== undefined && esp !== undefined) || handover === undefined)
    throw new Fault("usage.invalid", "read the command line: expected --root DIR, --slots DIR or --esp DIR, and --handover DIR");
  return { root, slots: place, handover };
}

function slotsArgs(slots: InstallerPlaces["slots"]): readonly string[] {
  return typeof slots === "string" ? ["--slots", slots] : ["--esp", slots.esp];
}

interface Parsed {
  readonly root?: string;
  readonly slots?: string;
  readonly esp?: string;
  readonly handover?: string;
}

function parsed(argv: readonly string[]): Parsed {
  const options = {
    root: { type: "string" },
    slots: { type: "string" },
    esp: { type: "string" },
    handover: { type: "string" },
  } as const;
  try {
    return parseArgs({ args: [...argv], options }).values;
  } catch (error) {
    throw new Fault("usage.invalid", `read the command line: ${argumentErrorText(error)}`, { cause: error });
  }
}
