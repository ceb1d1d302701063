// The certificates that the authority issued, and which of them are revoked.
import type { DeviceId, Fingerprint } from "../../hal/format/identity.ts";
import { type Change, change, type Engine, guard } from "./engine.ts";
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
  add(deviceId: DeviceId, fingerprint: Fingerprint, certificate: Omit<IssuedCertificate, "revokedAtMs">): Change;
  find(serial: string): Promise<IssuedCertificate | undefined>;
  /**
   * The one for this pair that was issued last, is not revoked, and has begun at `atMs`: one that
   * begins later was issued by a clock that was ahead. [TUN-72]
   */
  newest(deviceId: DeviceId, fingerprint: Fingerprint, atMs: number): Promise<IssuedCertificate | undefined>;
  /** A guard: `serial` is still that of the newest one, or there is none. */
  newestIs(deviceId: DeviceId, fingerprint: Fingerprint, serial: string | undefined, atMs: number): Change;
  /** How many certificates of this id are valid at `atMs`. */
  valid(deviceId: DeviceId, atMs: number): Promise<number>;
  /** Serials of the revoked ones that have not ended yet. */
  revoked(atMs: number): Promise<readonly string[]>;
  revokeAll(deviceId: DeviceId, fingerprint: Fingerprint, atMs: number): Change;
  /** When the last one of this pair ends, revoked ones included; undefined when there is none. */
  lastEndMs(deviceId: DeviceId, fingerprint: Fingerprint): Promise<number | undefined>;
  /** Removes those of one pair. */
  remove(deviceId: DeviceId, fingerprint: Fingerprint): Change;
  /** Removes those that ended before. */
  dropEnded(beforeMs: number): Change;
}

const ADD = `INSERT INTO certificates (serial, deviceId, fingerprint, notBefore, notAfter, issuedAt, der)
  VALUES (:serial, :deviceId, :fingerprint, :notBefore, :notAfter, :issuedAt, :der)`;
/** In the order of issue: a clock that was set back gave later ones earlier dates. */
const OF_PAIR = `FROM certificates WHERE deviceId = ? AND fingerprint = ? AND revokedAt IS NULL AND notBefore <= ?
  ORDER BY rowid DESC LIMIT 1`;
const NEWEST = `SELECT * ${OF_PAIR}`;
const NEWEST_IS = `SELECT 1 WHERE (SELECT serial ${OF_PAIR}) IS ?`;
const VALID = `SELECT count(*) AS n FROM certificates
  WHERE deviceId = ? AND notBefore <= ? AND notAfter > ? AND revokedAt IS NULL`;
const REVOKED = "SELECT serial FROM certificates WHERE notAfter > ? AND revokedAt IS NOT NULL";
const REVOKE_ALL = "UPDATE certificates SET revokedAt = ? WHERE deviceId = ? AND fingerprint = ? AND revokedAt IS NULL";
const LAST_END = "SELECT max(notAfter) AS ms FROM certificates WHERE deviceId = ? AND fingerprint = ?";

export function createCertificates(engine: Engine): Certificates {
  return {
    add: (deviceId, fingerprint, { serial, notBeforeMs: notBefore, notAfterMs: notAfter, issuedAtMs: issuedAt, der }) =>
      change(ADD, { serial, deviceId, fingerprint, notBefore, notAfter, issuedAt, der }),
    find: async (serial) => first(await engine.read("SELECT * FROM certificates WHERE serial = ?", [serial])),
    newest: async (deviceId, fingerprint, atMs) => first(await engine.read(NEWEST, [deviceId, fingerprint, atMs])),
    newestIs: (deviceId, fingerprint, serial, atMs) => guard(NEWEST_IS, [deviceId, fingerprint, atMs, serial ?? null]),
    valid: async (deviceId, atMs) => {
      const [row = {}] = await engine.read(VALID, [deviceId, atMs, atMs]);
      return integer(row, "n");
    },
    revoked: async (atMs) => (await engine.read(REVOKED, [atMs])).map((row) => text(row, "serial")),
    revokeAll: (deviceId, fingerprint, atMs) => change(REVOKE_ALL, [atMs, deviceId, fingerprint]),
    lastEndMs: async (deviceId, fingerprint) => {
      const [row = { ms: null }] = await engine.read(LAST_END, [deviceId, fingerprint]);
      return optional(integer, row, "ms");
    },
    remove: (deviceId, fingerprint) =>
      change("DELETE FROM certificates WHERE deviceId = ? AND fingerprint = ?", [deviceId, fingerprint]),
    dropEnded: (beforeMs) => change("DELETE FROM certificates WHERE notAfter < ?", [beforeMs]),
  };
}

function first([row]: readonly Row[]): IssuedCertificate | undefined {
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
