// The list of revoked certificates that is in force, and what goes on the next one. [ID-90]
import type { RevokedEntry } from "../authority/index.ts";
import { type Change, change, type Engine, guard } from "./engine.ts";
import { blob, integer, type Row, text } from "./row.ts";

export interface StoredCrl {
  readonly number: number;
  /** The authority's key that has signed it. */
  readonly keyId: string;
  readonly issuedAtMs: number;
  readonly thisUpdateMs: number;
  readonly nextUpdateMs: number;
  /** {@link Crls.revision} of what is on it. */
  readonly revision: string;
  /** How many certificates are on it. */
  readonly count: number;
  readonly der: Uint8Array;
}

export interface Crls {
  current(): Promise<StoredCrl | undefined>;
  /** The number of the current one alone. */
  number(): Promise<number | undefined>;
  /** Changes with every revocation. */
  revision(): Promise<string>;
  /** Revoked certificates that end after `endMs`, the last to end first; at most `countMax`. */
  revoked(endMs: number, countMax: number): Promise<readonly RevokedEntry[]>;
  /** Replaces the current one. A guard too: nobody has replaced `previous` since it was read. */
  put(crl: StoredCrl, previous: number | undefined): Change;
}

const REVISION = `SELECT count(*) AS n, coalesce(max(revokedAt), 0) AS at, coalesce(sum(rowid), 0) AS total
  FROM certificates INDEXED BY certificatesRevoked WHERE revokedAt IS NOT NULL`;
const REVOKED = `SELECT c.serial AS serial, c.revokedAt AS revokedAt, d.replacedBy IS NOT NULL AS replaced
  FROM certificates c JOIN devices d ON d.id = c.deviceId AND d.fingerprint = c.fingerprint
  WHERE c.revokedAt IS NOT NULL AND c.notAfter > ? ORDER BY c.notAfter DESC, c.serial LIMIT ?`;
const COLUMNS = "number, keyId, issuedAt, thisUpdate, nextUpdate, revision, count, der";
const VALUES = ":number, :keyId, :issuedAt, :thisUpdate, :nextUpdate, :revision, :count, :der";
const FIRST = `INSERT INTO crls (n, ${COLUMNS}) VALUES (1, ${VALUES})`;
const NEXT = `UPDATE crls SET (${COLUMNS}) = (${VALUES}) WHERE n = 1 AND number = :previous`;

export function createCrls(engine: Engine): Crls {
  return {
    current: async () => {
      const [row] = await engine.read("SELECT * FROM crls WHERE n = 1", []);
      return row === undefined ? undefined : crl(row);
    },
    number: async () => {
      const [row] = await engine.read("SELECT number FROM crls WHERE n = 1", []);
      return row === undefined ? undefined : integer(row, "number");
    },
    revision: async () => {
      const [row = {}] = await engine.read(REVISION, []);
      return `${integer(row, "n")}:${integer(row, "at")}:${integer(row, "total")}`;
    },
    revoked: async (endMs, countMax) =>
      (await engine.read(REVOKED, [endMs, countMax])).map((row) => ({
        serial: text(row, "serial"),
        revokedAtMs: integer(row, "revokedAt"),
        reason: integer(row, "replaced") === 1 ? "superseded" : "unspecified",
      })),
    put: ({ number, keyId, issuedAtMs, thisUpdateMs, nextUpdateMs, revision, count, der }, previous) => {
      const row = {
        number,
        keyId,
        issuedAt: issuedAtMs,
        thisUpdate: thisUpdateMs,
        nextUpdate: nextUpdateMs,
        revision,
        count,
        der,
      };
      return previous === undefined ? change(FIRST, row) : guard(NEXT, { ...row, previous });
    },
  };
}

function crl(row: Row): StoredCrl {
  return {
    number: integer(row, "number"),
    keyId: text(row, "keyId"),
    issuedAtMs: integer(row, "issuedAt"),
    thisUpdateMs: integer(row, "thisUpdate"),
    nextUpdateMs: integer(row, "nextUpdate"),
    revision: text(row, "revision"),
    count: integer(row, "count"),
    der: blob(row, "der"),
  };
}
