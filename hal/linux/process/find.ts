// The search for programs: in the system's own folders, and never by the environment, which a user
// may have set.
import { accessSync, constants } from "node:fs";
import { isAbsolute, join } from "node:path";
import { Fault } from "../../fault.ts";

const FOLDERS = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"] as const;

/** The PATH of a child, so that the programs it starts come from the same folders. */
export const CHILD_PATH = FOLDERS.join(":");

/**
 * @returns the absolute path of `program`. An absolute path stays as it is; a bare name is looked
 *   up in the system's folders.
 * @throws Fault `process.failed` when it does not exist or may not be run.
 */
export function findProgram(program: string): string {
  const candidates = isAbsolute(program)
    ? [program]
    : program.includes("/")
      ? []
      : FOLDERS.map((folder) => join(folder, program));
  for (const candidate of candidates) if (mayRun(candidate)) return candidate;
  const where = isAbsolute(program) ? "no program is there" : `it is in none of ${FOLDERS.join(", ")}`;
  throw new Fault("process.failed", `run "${program}": ${where}; install the package that has it`);
}

function mayRun(path: string): boolean {
  try {
    // synchronous as the start of a child is, which looks the same path up; a detour over a thread
    // costs milliseconds on a busy machine
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false; // for any reason: the next folder is tried, and the fault above names them all
  }
}
