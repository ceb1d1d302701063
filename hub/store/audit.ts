// Witnessed audit logs: every record, and the head that was cosigned last. A log belongs to an id
// with an audit key: a device that is enrolled again starts another log.
import type { DeviceId } from "../../hal/format/identity.ts";
import { EMPTY_FRONTIER, type Frontier, HASH_BYTES, leafHash } from "../../warden/audit/format/index.ts";
import type { Change, Engine } from "./engine.ts";
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
  head(deviceId: DeviceId, auditKey: string): Promise<WitnessedHead | undefined>;
  /** The logs of one id, the latest first. */
  logs(deviceId: DeviceId): Promise<readonly WitnessedLog[]>;
  /**
   * Appends `records` after `old` and stores the new head. A guard: the commit fails when the
   * stored head is no longer `old`.
   * @param old undefined for the first records of a log.
   * @param passed frontiers to remember.
   */
  extend(
    log: Pick<WitnessedLog, "auditKey"> & { readonly deviceId: DeviceId },
    old: WitnessedHead | undefined,
    records: readonly Uint8Array[],
    head: WitnessedHead,
    passed: readonly Frontier[],
  ): Change;
  /** The largest remembered frontier of at most `size` records, or the empty one. */
  frontier(deviceId: DeviceId, auditKey: string, size: number): Promise<Frontier>;
  /** Records `from` to `from + count` as stored, with their own numbers, so that a gap shows. */
  records(deviceId: DeviceId, auditKey: string, from: number, count: number): Promise<readonly StoredRecord[]>;
}

export interface StoredRecord {
  readonly seq: number;
  readonly bytes: Uint8Array;
  /** Leaf hash of the bytes at the time they were witnessed. */
  readonly leaf: Uint8Array;
}

const PUT_HEAD = `INSERT INTO auditLogs (deviceId, auditKey, size, bytes, root, frontier, cosigned, updatedAt)
  VALUES (:deviceId, :auditKey, :size, :bytes, :root, :frontier, :cosigned, :updatedAt)
  ON CONFLICT (deviceId, auditKey) DO UPDATE SET size = :size, bytes = :bytes, root = :root, frontier = :frontier,
    cosigned = :cosigned, updatedAt = :updatedAt WHERE size = :oldSize AND root = :oldRoot`;
const PUT_RECORD = `INSERT INTO auditRecords (log, seq, bytes, leaf)
  VALUES ((SELECT log FROM auditLogs WHERE deviceId = ? AND auditKey = ?), ?, ?, ?)`;
const PUT_FRONTIER = `INSERT OR REPLACE INTO auditFrontiers (log, size, frontier)
  VALUES ((SELECT log FROM auditLogs WHERE deviceId = ? AND auditKey = ?), ?, ?)`;
const RECORDS = `SELECT seq, auditRecords.bytes AS bytes, leaf FROM auditRecords JOIN auditLogs USING (log)
  WHERE deviceId = ? AND auditKey = ? AND seq >= ? AND seq < ? ORDER BY seq`;
const FRONTIER = `SELECT auditFrontiers.size AS size, auditFrontiers.frontier AS frontier
  FROM auditFrontiers JOIN auditLogs USING (log)
  WHERE deviceId = ? AND auditKey = ? AND auditFrontiers.size <= ? ORDER BY auditFrontiers.size DESC LIMIT 1`;

export function createAuditStore(engine: Engine): AuditStore {
  return {
    head: async (deviceId, auditKey) => {
      const [row] = await engine.read("SELECT * FROM auditLogs WHERE deviceId = ? AND auditKey = ?", [deviceId, auditKey]);
      return row === undefined ? undefined : auditHead(row);
    },
    logs: async (deviceId) => {
      const rows = await engine.read("SELECT * FROM auditLogs WHERE deviceId = ? ORDER BY updatedAt DESC LIMIT 8", [deviceId]);
      return rows.map((row) => ({ ...auditHead(row), auditKey: text(row, "auditKey") }));
    },
    extend: ({ deviceId, auditKey }, old, added, next, passed) => {
      const { size, bytes, root, cosigned, updatedAtMs: updatedAt } = next;
      const before = { oldSize: old?.size ?? null, oldRoot: old?.root ?? null };
      const frontier = Buffer.concat(next.frontier.roots);
      const head = { deviceId, auditKey, size, bytes, root, frontier, cosigned, updatedAt, ...before };
      const first = size - added.length;
      return {
        statements: [
          { sql: PUT_HEAD, parameters: head, guard: true },
          ...added.map((record, index) => ({
            sql: PUT_RECORD,
            parameters: [deviceId, auditKey, first + index, record, leafHash(record)],
          })),
          ...passed.map((each) => ({
            sql: PUT_FRONTIER,
            parameters: [deviceId, auditKey, each.size, Buffer.concat(each.roots)],
          })),
        ],
      };
    },
    frontier: async (deviceId, auditKey, size) => {
      const [row] = await engine.read(FRONTIER, [deviceId, auditKey, size]);
      return row === undefined ? EMPTY_FRONTIER : frontierIn(row);
    },
    records: async (deviceId, auditKey, from, count) =>
      (await engine.read(RECORDS, [deviceId, auditKey, from, from + count])).map((row) => ({
        seq: integer(row, "seq"),
        bytes: blob(row, "bytes"),
        leaf: blob(row, "leaf"),
      })),
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
