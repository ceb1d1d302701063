// A hub's store as an older version wrote it.
import type { DatabaseSync } from "node:sqlite";

/** What undoes each upgrade step, newest first, by the version that the step came from. */
const UNDO: readonly (readonly [version: number, sql: string])[] = [
  [5, "DROP INDEX certificatesRevoked; DROP TABLE crls; DROP INDEX devicesByKey; DROP TABLE boards"],
  [
    4,
    `DROP INDEX devicesSuccessor; DROP INDEX devicesApproved;
    ${["protection", "provenBy", "overlapUntil", "replacedBy", "rekeyUntil", "rekeyTo"]
      .map((column) => `ALTER TABLE devices DROP COLUMN ${column};`)
      .join("\n")}
    CREATE UNIQUE INDEX devicesApproved ON devices (id) WHERE state = 'approved';`,
  ],
  [3, "DROP TABLE escrows"],
  [2, "DROP TABLE outbox"],
  [1, "DROP TABLE auditFrontiers"],
];

/** Takes a store of this version back to `version`. */
export function makeOlder(database: DatabaseSync, version: number): void {
  for (const [from, sql] of UNDO) if (from >= version) database.exec(sql);
  database.exec(`PRAGMA user_version = ${version}`);
}
