// The lock of a state directory: one running hub each. Node has no flock(2); SQLite's exclusive
// lock is one that the kernel releases when the process ends, even by a crash.
import { DatabaseSync } from "node:sqlite";
import { asFault, Fault } from "../../hal/fault.ts";
import { settleDirectory } from "../../hal/linux/files/index.ts";
import { privateFile, readStateFile, STATE_FILES, writeStateFile } from "./files.ts";

export interface HubLock {
  release(): void;
}

/**
 * [STA-3] Locks the state directory, and removes half-written files that a crash left in it.
 * @throws Fault `lock.held`, which names the process that has it; `hub.store-failed`,
 *   `file.write-failed`.
 */
export async function lockState(directory: string): Promise<HubLock> {
  const database = new DatabaseSync(privateFile(directory, STATE_FILES.lock));
  try {
    lock(database, directory);
    await settleDirectory(directory);
    await writeStateFile(directory, STATE_FILES.owner, `${process.pid}\n`);
  } catch (error) {
    database.close();
    throw error;
  }
  return { release: () => database.close() };
}

function lock(database: DatabaseSync, directory: string): void {
  try {
    database.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE;");
  } catch (error) {
    if (!isBusy(error)) throw asFault(error, "hub.store-failed", `lock the state directory "${directory}"`);
    const owner = readStateFile(directory, STATE_FILES.owner)?.trim() ?? "unknown";
    throw new Fault(
      "lock.held",
      `use "${directory}": held by pid ${owner}; stop that hub, or wait for that init, or use another state directory`,
      { cause: error },
    );
  }
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && "errcode" in error && error.errcode === 5; // SQLITE_BUSY
}
