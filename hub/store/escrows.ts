// The sealed passwords of devices' TPMs: the last few notes of each device, as its warden signed
// them. [ID-55]
import type { DeviceId } from "../../hal/format/identity.ts";
import { ESCROWS_PER_DEVICE_MAX } from "../limits.ts";
import type { Change, Engine } from "./engine.ts";
import { integer, type Row, text } from "./row.ts";

export interface StoredEscrow {
  /** The device's audit key that has signed it, a C2SP verifier key. */
  readonly auditKey: string;
  /** By the device's clock. */
  readonly madeAtMs: number;
  /** Name of the chip's storage root. */
  readonly storage: string;
  readonly receivedAtMs: number;
  /** The note as the device sent it. */
  readonly note: string;
}

export interface Escrows {
  /** At most {@link ESCROWS_PER_DEVICE_MAX}, the newest first. */
  ofDevice(deviceId: DeviceId): Promise<readonly StoredEscrow[]>;
  /**
   * Adds a note, and removes what exceeds {@link ESCROWS_PER_DEVICE_MAX}. One that is not newer
   * than the device's others of the same audit key changes nothing.
   */
  add(deviceId: DeviceId, escrow: StoredEscrow): Change;
}

const ADD = `INSERT INTO escrows (deviceId, auditKey, madeAt, storage, receivedAt, note)
  SELECT :deviceId, :auditKey, :madeAt, :storage, :receivedAt, :note
  WHERE NOT EXISTS (SELECT 1 FROM escrows WHERE deviceId = :deviceId AND auditKey = :auditKey AND madeAt >= :madeAt)`;
const TRIM = `DELETE FROM escrows WHERE deviceId = :deviceId AND n NOT IN
  (SELECT n FROM escrows WHERE deviceId = :deviceId ORDER BY n DESC LIMIT ${ESCROWS_PER_DEVICE_MAX})`;
const OF_DEVICE = `SELECT * FROM escrows WHERE deviceId = ? ORDER BY n DESC LIMIT ${ESCROWS_PER_DEVICE_MAX}`;

export function createEscrows(engine: Engine): Escrows {
  return {
    ofDevice: async (deviceId) => (await engine.read(OF_DEVICE, [deviceId])).map((row) => escrow(row)),
    add: (deviceId, { auditKey, madeAtMs: madeAt, storage, receivedAtMs: receivedAt, note }) => ({
      statements: [
        { sql: ADD, parameters: { deviceId, auditKey, madeAt, storage, receivedAt, note } },
        { sql: TRIM, parameters: { deviceId } },
      ],
    }),
  };
}

function escrow(row: Row): StoredEscrow {
  return {
    auditKey: text(row, "auditKey"),
    madeAtMs: integer(row, "madeAt"),
    storage: text(row, "storage"),
    receivedAtMs: integer(row, "receivedAt"),
    note: text(row, "note"),
  };
}
