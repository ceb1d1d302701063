// The store's database: one SQLite file with a write-ahead log and synced commits.
import { DatabaseSync } from "node:sqlite";
import { Fault } from "../../hal/fault.ts";
import { STORE_BUSY_MS_MAX } from "../limits.ts";
import { SCHEMA, SCHEMA_VERSION, UPGRADES } from "./schema.ts";
import { storeFault } from "./remedy.ts";
import { integer } from "./row.ts";

const SQLITE_BUSY = 5;
/** How soon a store that another program holds is tried again. */
const BUSY_POLL_MS = 10;

/**
 * @param path a file in the hub's state directory, created when it is missing.
 * @throws Fault `hub.store-failed` when it cannot be opened, or was written by a newer version.
 */
export function openDatabase(path: string): DatabaseSync {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path, { timeout: STORE_BUSY_MS_MAX, enableForeignKeyConstraints: true });
    useWriteAheadLog(database);
    // With FULL, a commit returns only when the bytes are on the disk.
    database.exec("PRAGMA synchronous = FULL;");
    migrate(database, path);
    return database;
  } catch (error) {
    if (database?.isOpen === true) database.close();
    throw storeFault(error, `open the hub's store "${path}"`);
  }
}

/**
 * With a write-ahead log the command line can read and write while the hub runs. SQLite's own wait
 * does not cover the change to it, so of several programs that make the store at once, the first
 * would make the others fail.
 */
function useWriteAheadLog(database: DatabaseSync): void {
  const clock = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  for (const endMs = performance.now() + STORE_BUSY_MS_MAX; ;) {
    try {
      database.exec("PRAGMA journal_mode = WAL;");
      return;
    } catch (error) {
      if (!isBusy(error) || performance.now() > endMs) throw error;
      Atomics.wait(clock, 0, 0, BUSY_POLL_MS);
    }
  }
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && "errcode" in error && error.errcode === SQLITE_BUSY;
}

function migrate(database: DatabaseSync, path: string): void {
  inTransaction(database, () => {
    const version = pragma(database, "user_version");
    if (version === SCHEMA_VERSION) return;
    if (version > SCHEMA_VERSION)
      throw new Fault(
        "hub.store-failed",
        `open the hub's store "${path}": it has version ${version}, but this program supports ${SCHEMA_VERSION} at most; use the program that wrote it`,
      );
    for (const step of version === 0 ? [SCHEMA] : UPGRADES.slice(version - 1)) database.exec(step);
    database.exec(`PRAGMA user_version = ${SCHEMA_VERSION}`);
  });
}

/** @throws what `work` throws, after rolling back. */
function inTransaction<T>(database: DatabaseSync, work: () => T): T {
  // IMMEDIATE takes the write lock now, so that waiting happens here and not at the first write.
  database.exec("BEGIN IMMEDIATE");
  try {
    const result = work();
    database.exec("COMMIT");
    return result;
  } catch (error) {
    if (database.isTransaction) database.exec("ROLLBACK");
    throw error;
  }
}

export function pragma(database: DatabaseSync, name: "user_version" | "data_version"): number {
  const row = database.prepare(`PRAGMA ${name}`).get();
  return row === undefined ? 0 : integer(row, name);
}
