// The certificates that the authority issued, and which of them are revoked.
import type { DatabaseSync } from "node:sqlite";
import type { DeviceId, Fingerprint } from "../../hal/format/identity.ts";
import { blob, integer, optional, type Row, text } from "./row.ts";

export interface IssuedCertificate {
  /** 32 lower-case hex digits. */
  readonly serial: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly issuedAtMs: number;
  readonly der: Uint8Array;
  readonly revokedAtMs: number | undefined;
}

export interface Certificates {
  add(deviceId: DeviceId, fingerprint: Fingerprint, certificate: Omit<IssuedCertificate, "revokedAtMs">): void;
  find(serial: string): IssuedCertificate | undefined;
  /** The latest one for this pair that is not revoked. */
  newest(deviceId: DeviceId, fingerprint: Fingerprint): IssuedCertificate | undefined;
  /** How many certificates of this id are valid at `atMs`. */
  valid(deviceId: DeviceId, atMs: number): number;
  revokeAll(deviceId: DeviceId, fingerprint: Fingerprint, atMs: number): void;
  /** When the last one of this pair ends, revoked ones included; undefined when there is none. */
  lastEndMs(deviceId: DeviceId, fingerprint: Fingerprint): number | undefined;
  /** Removes those of one pair. */
  remove(deviceId: DeviceId, fingerprint: Fingerprint): void;
  /** Removes those that ended before. */
  dropEnded(beforeMs: number): void;
}

export function createCertificates(database: DatabaseSync): Certificates {
  const add = database.prepare(
    `INSERT INTO certificates (serial, deviceId, fingerprint, notBefore, notAfter, issuedAt, der)
     VALUES (:serial, :deviceId, :fingerprint, :notBefore, :notAfter, :issuedAt, :der)`,
  );
  const find = database.prepare("SELECT * FROM certificates WHERE serial = ?");
  const newest = database.prepare(
    `SELECT * FROM certificates WHERE deviceId = ? AND fingerprint = ? AND revokedAt IS NULL
     ORDER BY issuedAt DESC, rowid DESC LIMIT 1`,
  );
  const valid = database.prepare(
    "SELECT count(*) AS n FROM certificates WHERE deviceId = ? AND notAfter > ? AND revokedAt IS NULL",
  );
  const revokeAll = database.prepare(
    "UPDATE certificates SET revokedAt = ? WHERE deviceId = ? AND fingerprint = ? AND revokedAt IS NULL",
  );
  const lastEnd = database.prepare("SELECT max(notAfter) AS ms FROM certificates WHERE deviceId = ? AND fingerprint = ?");
  const remove = database.prepare("DELETE FROM certificates WHERE deviceId = ? AND fingerprint = ?");
  const dropEnded = database.prepare("DELETE FROM certificates WHERE notAfter < ?");
  return {
    add: (deviceId, fingerprint, { serial, notBeforeMs: notBefore, notAfterMs: notAfter, issuedAtMs: issuedAt, der }) => {
      add.run({ serial, deviceId, fingerprint, notBefore, notAfter, issuedAt, der });
    },
    find: (serial) => first(find.get(serial)),
    newest: (deviceId, fingerprint) => first(newest.get(deviceId, fingerprint)),
    valid: (deviceId, atMs) => integer(valid.get(deviceId, atMs) ?? {}, "n"),
    revokeAll: (deviceId, fingerprint, atMs) => {
      revokeAll.run(atMs, deviceId, fingerprint);
    },
    lastEndMs: (deviceId, fingerprint) => optional(integer, lastEnd.get(deviceId, fingerprint) ?? { ms: null }, "ms"),
    remove: (deviceId, fingerprint) => {
      remove.run(deviceId, fingerprint);
    },
    dropEnded: (beforeMs) => {
      dropEnded.run(beforeMs);
    },
  };
}

function first(row: Row | undefined): IssuedCertificate | undefined {
  if (row === undefined) return undefined;
  return {
    serial: text(row, "serial"),
    notBeforeMs: integer(row, "notBefore"),
    notAfterMs: integer(row, "notAfter"),
    issuedAtMs: integer(row, "issuedAt"),
    der: blob(row, "der"),
    revokedAtMs: optional(integer, row, "revokedAt"),
  };
}
