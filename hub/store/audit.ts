// Witnessed audit logs: every record, and the head that was cosigned last. A log belongs to an id
// with an audit key: a device that is enrolled again starts another log.
import type { DatabaseSync } from "node:sqlite";
import type { DeviceId } from "../../hal/format/identity.ts";
import { EMPTY_FRONTIER, type Frontier, HASH_BYTES, leafHash } from "../../warden/audit/format/index.ts";
import { blob, integer, type Row, text } from "./row.ts";

export interface WitnessedHead {
  readonly size: number;
  /** The size of all records together. */
  readonly bytes: number;
  readonly root: Uint8Array;
  readonly frontier: Frontier;
  /** The checkpoint as a signed note, with the signatures of device and hub. */
  readonly cosigned: string;
  readonly updatedAtMs: number;
}

/** A log with the audit key that signs it. */
export interface WitnessedLog extends WitnessedHead {
  readonly auditKey: string;
}

export interface AuditStore {
  head(deviceId: DeviceId, auditKey: string): WitnessedHead | undefined;
  /** The logs of one id, the latest first. */
  logs(deviceId: DeviceId): readonly WitnessedLog[];
  /**
   * Appends `records` at the old head's size and stores the new head. Call it in a transaction.
   * @param passed frontiers to remember.
   */
  extend(
    deviceId: DeviceId,
    auditKey: string,
    records: readonly Uint8Array[],
    head: WitnessedHead,
    passed: readonly Frontier[],
  ): void;
  /** The largest remembered frontier of at most `size` records, or the empty one. */
  frontier(deviceId: DeviceId, auditKey: string, size: number): Frontier;
  /** Records `from` to `from + count` as stored, with their own numbers, so that a gap shows. */
  records(deviceId: DeviceId, auditKey: string, from: number, count: number): readonly StoredRecord[];
}

export interface StoredRecord {
  readonly seq: number;
  readonly bytes: Uint8Array;
  /** Leaf hash of the bytes at the time they were witnessed. */
  readonly leaf: Uint8Array;
}

export function createAuditStore(database: DatabaseSync): AuditStore {
  const head = database.prepare("SELECT * FROM auditLogs WHERE deviceId = ? AND auditKey = ?");
  const logs = database.prepare("SELECT * FROM auditLogs WHERE deviceId = ? ORDER BY updatedAt DESC LIMIT 8");
  const putHead = database.prepare(
    `INSERT INTO auditLogs (deviceId, auditKey, size, bytes, root, frontier, cosigned, updatedAt)
     VALUES (:deviceId, :auditKey, :size, :bytes, :root, :frontier, :cosigned, :updatedAt)
     ON CONFLICT (deviceId, auditKey) DO UPDATE SET size = :size, bytes = :bytes, root = :root, frontier = :frontier,
       cosigned = :cosigned, updatedAt = :updatedAt`,
  );
  const putRecord = database.prepare(
    "INSERT INTO auditRecords (log, seq, bytes, leaf) VALUES ((SELECT log FROM auditLogs WHERE deviceId = ? AND auditKey = ?), ?, ?, ?)",
  );
  const records = database.prepare(
    `SELECT seq, auditRecords.bytes AS bytes, leaf FROM auditRecords JOIN auditLogs USING (log)
     WHERE deviceId = ? AND auditKey = ? AND seq >= ? AND seq < ? ORDER BY seq`,
  );
  const putFrontier = database.prepare(
    `INSERT OR REPLACE INTO auditFrontiers (log, size, frontier)
     VALUES ((SELECT log FROM auditLogs WHERE deviceId = ? AND auditKey = ?), ?, ?)`,
  );
  const frontier = database.prepare(
    `SELECT auditFrontiers.size AS size, auditFrontiers.frontier AS frontier FROM auditFrontiers JOIN auditLogs USING (log)
     WHERE deviceId = ? AND auditKey = ? AND auditFrontiers.size <= ? ORDER BY auditFrontiers.size DESC LIMIT 1`,
  );
  return {
    head: (deviceId, auditKey) => {
      const row = head.get(deviceId, auditKey);
      return row === undefined ? undefined : auditHead(row);
    },
    logs: (deviceId) => logs.all(deviceId).map((row) => ({ ...auditHead(row), auditKey: text(row, "auditKey") })),
    extend: (deviceId, auditKey, added, next, passed) => {
      const { size, bytes, root, cosigned, updatedAtMs: updatedAt } = next;
      putHead.run({ deviceId, auditKey, size, bytes, root, frontier: Buffer.concat(next.frontier.roots), cosigned, updatedAt });
      for (const [index, record] of added.entries()) {
        putRecord.run(deviceId, auditKey, size - added.length + index, record, leafHash(record));
      }
      for (const each of passed) putFrontier.run(deviceId, auditKey, each.size, Buffer.concat(each.roots));
    },
    frontier: (deviceId, auditKey, size) => {
      const row = frontier.get(deviceId, auditKey, size);
      return row === undefined ? EMPTY_FRONTIER : frontierIn(row);
    },
    records: (deviceId, auditKey, from, count) =>
      records
        .all(deviceId, auditKey, from, from + count)
        .map((row) => ({ seq: integer(row, "seq"), bytes: blob(row, "bytes"), leaf: blob(row, "leaf") })),
  };
}

function auditHead(row: Row): WitnessedHead {
  return {
    size: integer(row, "size"),
    bytes: integer(row, "bytes"),
    root: blob(row, "root"),
    frontier: frontierIn(row),
    cosigned: text(row, "cosigned"),
    updatedAtMs: integer(row, "updatedAt"),
  };
}

function frontierIn(row: Row): Frontier {
  const hashes = blob(row, "frontier");
  const roots: Uint8Array[] = [];
  for (let at = 0; at < hashes.byteLength; at += HASH_BYTES) roots.push(hashes.subarray(at, at + HASH_BYTES));
  return { size: integer(row, "size"), roots };
}
