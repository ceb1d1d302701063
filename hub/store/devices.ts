// The devices that the hub knows: an id together with a key, and an operator's decision about the
// pair. [ID-7]
import * as v from "valibot";
import { check } from "../../hal/format/schema.ts";
import { parseJson } from "../../hal/format/json.ts";
import { type DeviceId, type Fingerprint, fingerprintSchema, type Protection, PROTECTIONS } from "../../hal/format/identity.ts";
import { type Change, change, type Engine, guard, type SqlValue } from "./engine.ts";
import { blob, deviceId, integer, oneOf, optional, type Row, text } from "./row.ts";

export const DEVICE_STATES = ["pending", "approved", "denied", "revoked"] as const;
export type DeviceState = (typeof DEVICE_STATES)[number];

export interface Device {
  readonly id: DeviceId;
  readonly fingerprint: Fingerprint;
  readonly state: DeviceState;
  /** The request in force: for an approved device, the approved one. PKCS#10 DER. */
  readonly csr: Uint8Array;
  readonly serialNumber: string | undefined;
  readonly uris: readonly string[];
  /** C2SP verifier key, from the request. [AUD-7] */
  readonly auditKey: string | undefined;
  /** What keeps the key, as the device says; undefined when it has not said. [ID-61] */
  readonly protection: Protection | undefined;
  /**
   * The key in force that the device showed in TLS when it asked with this one: it has both.
   * [ID-63]
   */
  readonly provenBy: Fingerprint | undefined;
  /**
   * For a key that is approved beside the one in force: until when it may make its first
   * connection, which ends the other one. [ID-64]
   */
  readonly overlapUntilMs: number | undefined;
  /** For a revoked key: the key that took its place. */
  readonly replacedBy: Fingerprint | undefined;
  /** For the key in force: an operator's permission for one other key. [ID-63] */
  readonly rekey: RekeyPermission | undefined;
  /**
   * For an approved device: a later request with other names or another audit key, until an
   * operator accepts it. PKCS#10 DER.
   */
  readonly proposed: Uint8Array | undefined;
  /** The source of the latest request. */
  readonly address: string;
  readonly requestedAtMs: number;
  readonly seenAtMs: number;
  readonly decidedAtMs: number | undefined;
  readonly decidedBy: string | undefined;
}

export interface RekeyPermission {
  readonly untilMs: number;
  /** The weakest protection that the other key may have, besides that of the key in force. */
  readonly to: Protection | undefined;
}

export type NewRequest = Pick<
  Device,
  "id" | "fingerprint" | "csr" | "serialNumber" | "uris" | "auditKey" | "address" | "seenAtMs"
> &
  Partial<Pick<Device, "protection" | "provenBy">>;

export type PendingDevice = Pick<Device, "id" | "fingerprint" | "address" | "requestedAtMs" | "seenAtMs">;

export interface Devices {
  /** At most `countMax`, by id. */
  list(countMax: number): Promise<readonly Device[]>;
  /** All keys that have asked with one id. */
  ofId(id: DeviceId): Promise<readonly Device[]>;
  /** What has asked with one key, whatever the id; at most `countMax`. */
  ofKey(fingerprint: Fingerprint, countMax: number): Promise<readonly Pick<Device, "id" | "state">[]>;
  find(id: DeviceId, fingerprint: Fingerprint): Promise<Device | undefined>;
  /** The pair in force. */
  approved(id: DeviceId): Promise<Device | undefined>;
  /** The pair that is approved beside the one in force. [ID-64] */
  successor(id: DeviceId): Promise<Device | undefined>;
  /** Every id that is approved with some key. */
  approvedIds(): Promise<readonly DeviceId[]>;
  /** Every pair that is approved, those beside another one included. */
  approvedPairs(): Promise<readonly Pick<Device, "id" | "fingerprint">[]>;
  /** Every request that waits for a decision, those aside that the key in force has proven. */
  pending(): Promise<readonly PendingDevice[]>;
  /** A guard: the pair is still as `device` was read. */
  unchanged(device: Device): Change;
  /** A guard: nobody has asked with the pair yet. */
  absent(id: DeviceId, fingerprint: Fingerprint): Change;
  /** A guard: the pair is approved. */
  approvedStill(id: DeviceId, fingerprint: Fingerprint): Change;
  /** Adds a pending request or updates one. A decided request stays as it is. */
  request(request: NewRequest): Change;
  propose(id: DeviceId, fingerprint: Fingerprint, csr: Uint8Array): Change;
  /** A guard too: notes the protection of a pair that had none. */
  claim(id: DeviceId, fingerprint: Fingerprint, protection: Protection): Change;
  allowRekey(id: DeviceId, fingerprint: Fingerprint, permission: RekeyPermission | undefined): Change;
  /** Approves a pair beside the one in force. */
  succeed(id: DeviceId, fingerprint: Fingerprint, overlapUntilMs: number, atMs: number, by: string): Change;
  /** Revokes a pair in favour of another key. */
  replace(id: DeviceId, fingerprint: Fingerprint, replacedBy: Fingerprint, atMs: number, by: string): Change;
  /** Removes the proven requests of this id for other keys: a device has one at a time. */
  removeProven(id: DeviceId, except: Fingerprint): Change;
  /** Replaces the approved request by `request`. */
  adopt(request: NewRequest): Change;
  decide(id: DeviceId, fingerprint: Fingerprint, state: DeviceState, atMs: number, by: string): Change;
  /** Removes the pair, whose certificates must be removed already. */
  remove(id: DeviceId, fingerprint: Fingerprint): Change;
  /** Removes the pair unless it was decided meanwhile. */
  removePending(id: DeviceId, fingerprint: Fingerprint): Change;
  /** Removes all but the latest denials: at most so many of each id, and so many altogether. */
  trimDenied(ofIdMax: number, countMax: number): Change;
}

const urisSchema = v.array(v.string());
const URIS_BYTES_MAX = 65_536;

const UNCHANGED = `SELECT 1 FROM devices WHERE id = :id AND fingerprint = :fingerprint AND state = :state AND csr = :csr
  AND proposed IS :proposed AND protection IS :protection AND overlapUntil IS :overlapUntil AND rekeyUntil IS :rekeyUntil`;
const OF_KEY = "SELECT id, state FROM devices WHERE fingerprint = ? ORDER BY id LIMIT ?";
const PENDING = `SELECT id, fingerprint, address, requestedAt, seenAt FROM devices WHERE state = 'pending' AND provenBy IS NULL
  ORDER BY seenAt`;
const REQUEST = `INSERT INTO devices (id, fingerprint, state, csr, serialNumber, uris, auditKey, protection, provenBy, address,
    requestedAt, seenAt)
  VALUES (:id, :fingerprint, 'pending', :csr, :serialNumber, :uris, :auditKey, :protection, :provenBy, :address, :seenAt, :seenAt)
  ON CONFLICT (id, fingerprint) DO UPDATE SET csr = :csr, serialNumber = :serialNumber, uris = :uris, auditKey = :auditKey,
    protection = :protection, provenBy = coalesce(:provenBy, provenBy), address = :address, seenAt = :seenAt
    WHERE state = 'pending'`;
const ADOPT = `UPDATE devices SET csr = :csr, serialNumber = :serialNumber, uris = :uris, auditKey = :auditKey,
  protection = :protection, proposed = NULL WHERE id = :id AND fingerprint = :fingerprint`;
const DECIDE = `UPDATE devices SET state = :state, decidedAt = :at, decidedBy = :by, overlapUntil = NULL, rekeyUntil = NULL,
  rekeyTo = NULL WHERE id = :id AND fingerprint = :fingerprint`;
const SUCCEED = `UPDATE devices SET state = 'approved', decidedAt = :at, decidedBy = :by, overlapUntil = :until
  WHERE id = :id AND fingerprint = :fingerprint`;
const REPLACE = `UPDATE devices SET state = 'revoked', decidedAt = :at, decidedBy = :by, overlapUntil = NULL, rekeyUntil = NULL,
  rekeyTo = NULL, replacedBy = :replacedBy WHERE id = :id AND fingerprint = :fingerprint`;
const CLAIM = "UPDATE devices SET protection = ? WHERE id = ? AND fingerprint = ? AND protection IS NULL";
const REMOVE_PROVEN = "DELETE FROM devices WHERE id = ? AND state = 'pending' AND provenBy IS NOT NULL AND fingerprint != ?";
const TRIM_DENIED = `DELETE FROM devices WHERE (id, fingerprint) IN (SELECT id, fingerprint FROM (
  SELECT id, fingerprint, row_number() OVER (PARTITION BY id ORDER BY decidedAt DESC) AS ofId,
    row_number() OVER (ORDER BY decidedAt DESC) AS ofAll FROM devices WHERE state = 'denied') WHERE ofId > ? OR ofAll > ?)`;

export function createDevices(engine: Engine): Devices {
  const read = async (sql: string, ...values: SqlValue[]): Promise<readonly Device[]> =>
    (await engine.read(sql, values)).map((row) => device(row));
  return {
    list: (countMax) => read("SELECT * FROM devices ORDER BY id, requestedAt LIMIT ?", countMax),
    ofId: (id) => read("SELECT * FROM devices WHERE id = ? ORDER BY requestedAt", id),
    ofKey: async (key, countMax) =>
      (await engine.read(OF_KEY, [key, countMax])).map((row) => ({
        id: deviceId(row, "id"),
        state: oneOf(DEVICE_STATES, row, "state"),
      })),
    find: async (id, fingerprint) => (await read("SELECT * FROM devices WHERE id = ? AND fingerprint = ?", id, fingerprint))[0],
    approved: async (id) =>
      (await read("SELECT * FROM devices WHERE id = ? AND state = 'approved' AND overlapUntil IS NULL", id))[0],
    successor: async (id) =>
      (await read("SELECT * FROM devices WHERE id = ? AND state = 'approved' AND overlapUntil IS NOT NULL", id))[0],
    approvedIds: async () => {
      const rows = await engine.read("SELECT id FROM devices WHERE state = 'approved' AND overlapUntil IS NULL ORDER BY id", []);
      return rows.map((row) => deviceId(row, "id"));
    },
    approvedPairs: async () => {
      const rows = await engine.read("SELECT id, fingerprint FROM devices WHERE state = 'approved'", []);
      return rows.map((row) => identified(row));
    },
    pending: async () =>
      (await engine.read(PENDING, [])).map((row) => ({
        ...identified(row),
        address: text(row, "address"),
        requestedAtMs: integer(row, "requestedAt"),
        seenAtMs: integer(row, "seenAt"),
      })),
    unchanged: ({
      id,
      fingerprint,
      state,
      csr,
      proposed = null,
      protection = null,
      overlapUntilMs: overlapUntil = null,
      rekey,
    }) => {
      const rekeyUntil = rekey?.untilMs ?? null;
      return guard(UNCHANGED, { id, fingerprint, state, csr, proposed, protection, overlapUntil, rekeyUntil });
    },
    absent: (id, fingerprint) =>
      guard("SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM devices WHERE id = ? AND fingerprint = ?)", [id, fingerprint]),
    approvedStill: (id, fingerprint) =>
      guard("SELECT 1 FROM devices WHERE id = ? AND fingerprint = ? AND state = 'approved'", [id, fingerprint]),
    request: (asked) => {
      const { id, fingerprint, csr, serialNumber = null, auditKey = null, address, seenAtMs: seenAt } = asked;
      const { protection = null, provenBy = null } = asked;
      const uris = JSON.stringify(asked.uris);
      return change(REQUEST, { id, fingerprint, csr, serialNumber, uris, auditKey, protection, provenBy, address, seenAt });
    },
    propose: (id, fingerprint, csr) =>
      change("UPDATE devices SET proposed = ? WHERE id = ? AND fingerprint = ?", [csr, id, fingerprint]),
    claim: (id, fingerprint, protection) => guard(CLAIM, [protection, id, fingerprint]),
    allowRekey: (id, fingerprint, permission) =>
      change("UPDATE devices SET rekeyUntil = ?, rekeyTo = ? WHERE id = ? AND fingerprint = ?", [
        permission?.untilMs ?? null,
        permission?.to ?? null,
        id,
        fingerprint,
      ]),
    succeed: (id, fingerprint, until, at, by) => change(SUCCEED, { id, fingerprint, until, at, by }),
    replace: (id, fingerprint, replacedBy, at, by) => change(REPLACE, { id, fingerprint, replacedBy, at, by }),
    removeProven: (id, except) => change(REMOVE_PROVEN, [id, except]),
    adopt: ({ id, fingerprint, csr, serialNumber = null, uris, auditKey = null, protection = null }) =>
      change(ADOPT, { id, fingerprint, csr, serialNumber, uris: JSON.stringify(uris), auditKey, protection }),
    decide: (id, fingerprint, state, at, by) => change(DECIDE, { id, fingerprint, state, at, by }),
    remove: (id, fingerprint) => change("DELETE FROM devices WHERE id = ? AND fingerprint = ?", [id, fingerprint]),
    removePending: (id, fingerprint) =>
      change("DELETE FROM devices WHERE id = ? AND fingerprint = ? AND state = 'pending'", [id, fingerprint]),
    trimDenied: (ofIdMax, countMax) => change(TRIM_DENIED, [ofIdMax, countMax]),
  };
}

function identified(row: Row): Pick<Device, "id" | "fingerprint"> {
  return { id: deviceId(row, "id"), fingerprint: fingerprint(row, "fingerprint") };
}

function fingerprint(row: Row, column: string): Fingerprint {
  return check(fingerprintSchema, text(row, column), "stored fingerprint", "hub.store-failed");
}

function protection(row: Row, column: string): Protection {
  return oneOf(PROTECTIONS, row, column);
}

function device(row: Row): Device {
  const rekeyUntilMs = optional(integer, row, "rekeyUntil");
  return {
    ...identified(row),
    state: oneOf(DEVICE_STATES, row, "state"),
    csr: blob(row, "csr"),
    serialNumber: optional(text, row, "serialNumber"),
    uris: check(urisSchema, parseJson(text(row, "uris"), URIS_BYTES_MAX, "stored URIs"), "stored URIs", "hub.store-failed"),
    auditKey: optional(text, row, "auditKey"),
    protection: optional(protection, row, "protection"),
    provenBy: optional(fingerprint, row, "provenBy"),
    overlapUntilMs: optional(integer, row, "overlapUntil"),
    replacedBy: optional(fingerprint, row, "replacedBy"),
    rekey: rekeyUntilMs === undefined ? undefined : { untilMs: rekeyUntilMs, to: optional(protection, row, "rekeyTo") },
    proposed: optional(blob, row, "proposed"),
    address: text(row, "address"),
    requestedAtMs: integer(row, "requestedAt"),
    seenAtMs: integer(row, "seenAt"),
    decidedAtMs: optional(integer, row, "decidedAt"),
    decidedBy: optional(text, row, "decidedBy"),
  };
}
