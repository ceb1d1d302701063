// One running hub for a state directory. Node has no flock; SQLite's exclusive lock is one that the kernel frees when the process ends, however it ends.
import { DatabaseSync } from "node:sqlite";
import { asFault, Fault } from "../../hal/fault.ts";
import { privateFile, readStateFile, STATE_FILES, writeStateFile } from "./files.ts";

export interface HubLock {
  release(): void;
}

/** @throws Fault `lock.held` naming the process that has it. [STA-3] */
export function lockState(directory: string): HubLock {
  const database = new DatabaseSync(privateFile(directory, STATE_FILES.lock));
  try {
    database.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE;");
  } catch (error) {
    database.close();
    if (!isBusy(error)) throw asFault(error, "hub.store-failed", `lock the state directory "${directory}"`);
    const owner = readStateFile(directory, STATE_FILES.owner)?.trim() ?? "unknown";
    throw new Fault(
      "lock.held",
      `serve from "${directory}": held by pid ${owner}; stop that hub first, or give this one a state of its own`,
      {
        cause: error,
      },
    );
  }
  writeStateFile(directory, STATE_FILES.owner, `${process.pid}\n`);
  return { release: () => database.close() };
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && "errcode" in error && error.errcode === 5; // SQLITE_BUSY
}
