// Commands that work in one directory, one after the other. Node has no flock(2); SQLite's lock is
// one that the kernel releases when the process ends, even by a crash. [STA-41]
import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { asFault, Fault } from "../../fault.ts";
import { writeFault } from "./faults.ts";

const MODE_PRIVATE = 0o600;
const SQLITE_BUSY = 5;

export interface DirectoryLock {
  release(): void;
}

/**
 * Takes the lock `name` in `directory`, which exists, and waits at most `waitMs` for the command
 * that has it. The thread does nothing else meanwhile. The file stays.
 * @throws Fault `lock.held`; `file.*` when the directory cannot be written.
 */
export function lockDirectory(directory: string, name: string, waitMs: number): DirectoryLock {
  const path = join(directory, name);
  try {
    closeSync(openSync(path, "a", MODE_PRIVATE)); // SQLite would give it the umask's mode
  } catch (error) {
    throw writeFault(error, `lock "${directory}"`);
  }
  const database = new DatabaseSync(path, { timeout: waitMs });
  try {
    database.exec("BEGIN EXCLUSIVE");
  } catch (error) {
    database.close();
    if (!(error instanceof Error && "errcode" in error && error.errcode === SQLITE_BUSY))
      throw asFault(error, "file.write-failed", `lock "${directory}"`);
    const why = "another command works there; wait for its end, then run this again";
    throw new Fault("lock.held", `work in "${directory}": ${why}`, { cause: error });
  }
  return { release: () => database.close() };
}
