// The devices that the hub knows: an id together with a key, and an operator's decision about the
// pair. [ID-7]
import type { DatabaseSync } from "node:sqlite";
import * as v from "valibot";
import { check } from "../../hal/format/schema.ts";
import { parseJson } from "../../hal/format/json.ts";
import { type DeviceId, type Fingerprint, fingerprintSchema } from "../../hal/format/identity.ts";
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

export type NewRequest = Omit<Device, "state" | "proposed" | "requestedAtMs" | "decidedAtMs" | "decidedBy">;

export interface Devices {
  /** At most `countMax`, by id. */
  list(countMax: number): readonly Device[];
  /** All keys that have asked with one id. */
  ofId(id: DeviceId): readonly Device[];
  find(id: DeviceId, fingerprint: Fingerprint): Device | undefined;
  approved(id: DeviceId): Device | undefined;
  /** Every id that is approved with some key. */
  approvedIds(): readonly DeviceId[];
  /** Every request that waits for a decision. */
  pending(): readonly Pick<Device, "id" | "fingerprint" | "address" | "requestedAtMs" | "seenAtMs">[];
  /** Adds a pending request or updates one. A decided request stays as it is. */
  request(request: NewRequest): void;
  propose(id: DeviceId, fingerprint: Fingerprint, csr: Uint8Array): void;
  /** Replaces the approved request by `request`. */
  adopt(request: NewRequest): void;
  decide(id: DeviceId, fingerprint: Fingerprint, state: DeviceState, atMs: number, by: string): void;
  /** Removes the pair, whose certificates must be removed already. */
  remove(id: DeviceId, fingerprint: Fingerprint): void;
  /** Removes all but the latest denials: at most so many of each id, and so many altogether. */
  trimDenied(ofIdMax: number, countMax: number): void;
}

const urisSchema = v.array(v.string());
const URIS_BYTES_MAX = 65_536;

function prepareStatements(database: DatabaseSync) {
  const list = database.prepare("SELECT * FROM devices ORDER BY id, requestedAt LIMIT ?");
  const approvedIds = database.prepare("SELECT id FROM devices WHERE state = 'approved' ORDER BY id");
  const ofId = database.prepare("SELECT * FROM devices WHERE id = ? ORDER BY requestedAt");
  const find = database.prepare("SELECT * FROM devices WHERE id = ? AND fingerprint = ?");
  const approved = database.prepare("SELECT * FROM devices WHERE id = ? AND state = 'approved'");
  const pending = database.prepare(
    "SELECT id, fingerprint, address, requestedAt, seenAt FROM devices WHERE state = 'pending' ORDER BY seenAt",
  );
  const request = database.prepare(
    `INSERT INTO devices (id, fingerprint, state, csr, serialNumber, uris, auditKey, address, requestedAt, seenAt)
     VALUES (:id, :fingerprint, 'pending', :csr, :serialNumber, :uris, :auditKey, :address, :seenAt, :seenAt)
     ON CONFLICT (id, fingerprint) DO UPDATE SET csr = :csr, serialNumber = :serialNumber, uris = :uris, auditKey = :auditKey,
       address = :address, seenAt = :seenAt WHERE state = 'pending'`,
  );
  const propose = database.prepare("UPDATE devices SET proposed = ? WHERE id = ? AND fingerprint = ?");
  const adopt = database.prepare(
    `UPDATE devices SET csr = :csr, serialNumber = :serialNumber, uris = :uris, auditKey = :auditKey, proposed = NULL
     WHERE id = :id AND fingerprint = :fingerprint`,
  );
  const decide = database.prepare(
    "UPDATE devices SET state = :state, decidedAt = :at, decidedBy = :by WHERE id = :id AND fingerprint = :fingerprint",
  );
  const remove = database.prepare("DELETE FROM devices WHERE id = ? AND fingerprint = ?");
  const trimDenied = database.prepare(
    `DELETE FROM devices WHERE (id, fingerprint) IN (SELECT id, fingerprint FROM (
       SELECT id, fingerprint, row_number() OVER (PARTITION BY id ORDER BY decidedAt DESC) AS ofId,
         row_number() OVER (ORDER BY decidedAt DESC) AS ofAll FROM devices WHERE state = 'denied') WHERE ofId > ? OR ofAll > ?)`,
  );
  return { list, approvedIds, ofId, find, approved, pending, request, propose, adopt, decide, remove, trimDenied };
}

export function createDevices(database: DatabaseSync): Devices {
  const statements = prepareStatements(database);
  return {
    list: (countMax) => statements.list.all(countMax).map((row) => device(row)),
    ofId: (id) => statements.ofId.all(id).map((row) => device(row)),
    find: (id, fingerprint) => first(statements.find.get(id, fingerprint)),
    approved: (id) => first(statements.approved.get(id)),
    approvedIds: () => statements.approvedIds.all().map((row) => deviceId(row, "id")),
    pending: () =>
      statements.pending.all().map((row) => ({
        ...identified(row),
        address: text(row, "address"),
        requestedAtMs: integer(row, "requestedAt"),
        seenAtMs: integer(row, "seenAt"),
      })),
    request: (asked) => {
      const { id, fingerprint, csr, serialNumber = null, auditKey = null, address, seenAtMs: seenAt } = asked;
      statements.request.run({ id, fingerprint, csr, serialNumber, uris: JSON.stringify(asked.uris), auditKey, address, seenAt });
    },
    propose: (id, fingerprint, csr) => {
      statements.propose.run(csr, id, fingerprint);
    },
    adopt: ({ id, fingerprint, csr, serialNumber = null, uris, auditKey = null }) => {
      statements.adopt.run({ id, fingerprint, csr, serialNumber, uris: JSON.stringify(uris), auditKey });
    },
    decide: (id, fingerprint, state, at, by) => {
      statements.decide.run({ id, fingerprint, state, at, by });
    },
    remove: (id, fingerprint) => {
      statements.remove.run(id, fingerprint);
    },
    trimDenied: (ofIdMax, countMax) => {
      statements.trimDenied.run(ofIdMax, countMax);
    },
  };
}

function first(row: Row | undefined): Device | undefined {
  return row === undefined ? undefined : device(row);
}

function identified(row: Row): Pick<Device, "id" | "fingerprint"> {
  return {
    id: deviceId(row, "id"),
    fingerprint: check(fingerprintSchema, text(row, "fingerprint"), "stored fingerprint", "hub.store-failed"),
  };
}

function device(row: Row): Device {
  return {
    ...identified(row),
    state: oneOf(DEVICE_STATES, row, "state"),
    csr: blob(row, "csr"),
    serialNumber: optional(text, row, "serialNumber"),
    uris: check(urisSchema, parseJson(text(row, "uris"), URIS_BYTES_MAX, "stored URIs"), "stored URIs", "hub.store-failed"),
    auditKey: optional(text, row, "auditKey"),
    proposed: optional(blob, row, "proposed"),
    address: text(row, "address"),
    requestedAtMs: integer(row, "requestedAt"),
    seenAtMs: integer(row, "seenAt"),
    decidedAtMs: optional(integer, row, "decidedAt"),
    decidedBy: optional(text, row, "decidedBy"),
  };
}
