// How the installer is started: for the warden that starts it and for the installer that reads it. Pure.
import { parseArgs } from "node:util";
import { asFault, Fault } from "../../hal/fault.ts";

/** What the machine looks like. Comes from the warden's configuration, never from an update. */
export interface InstallerPlaces {
  /** What stands for `/`. */
  readonly root: string;
  /** Of the slots' images. */
  readonly slots: string;
  readonly courier: string;
}

/** V8 grows its young generation with every buffer; malloc keeps what threads freed. Measured: docs/decisions/0007-casync-chunks.md. */
export const INSTALLER_OPTIONS = ["--max-semi-space-size=1", "--max-old-space-size=32"];
export const INSTALLER_ENVIRONMENT = { MALLOC_ARENA_MAX: "1" };

/** @param program path of the installer's main file. @returns arguments for Node, and its environment. */
export function installerCommand(
  program: string,
  { root, slots, courier }: InstallerPlaces,
): { readonly args: readonly string[]; readonly env: Readonly<Record<string, string>> } {
  return {
    args: [...INSTALLER_OPTIONS, program, "--root", root, "--slots", slots, "--courier", courier],
    env: INSTALLER_ENVIRONMENT,
  };
}

/** @throws Fault `usage.invalid`. */
export function installerPlaces(argv: readonly string[]): InstallerPlaces {
  const { root, slots, courier } = parsed(argv);
  if (root === undefined || slots === undefined || courier === undefined)
    throw new Fault("usage.invalid", "read the command line: expected --root DIR --slots DIR --courier DIR");
  return { root, slots, courier };
}

function parsed(argv: readonly string[]): Partial<InstallerPlaces> {
  const options = { root: { type: "string" }, slots: { type: "string" }, courier: { type: "string" } } as const;
  try {
    return parseArgs({ args: [...argv], options }).values;
  } catch (error) {
    throw asFault(error, "usage.invalid", "read the command line");
  }
}
