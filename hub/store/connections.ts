// The current connections, for the operator's list. The running hub writes them, and clears them
// when it starts.
import type { DeviceId } from "../../hal/format/identity.ts";
import { type Change, change, type Engine } from "./engine.ts";
import { integer, type Row, text } from "./row.ts";

/** One admitted connection, as the hub's side of the TLS session reports it. */
export interface ConnectionRecord {
  readonly deviceId: DeviceId;
  readonly sinceMs: number;
  readonly address: string;
  /** Serial of the certificate that was presented. */
  readonly serial: string;
  /** `TLSv1.3`. */
  readonly protocol: string;
  readonly cipher: string;
  /** Key-exchange group: `X25519MLKEM768`, or its number when it has no name here. */
  readonly group: string;
}

export interface Connections {
  put(connection: ConnectionRecord): Change;
  remove(deviceId: DeviceId): Change;
  find(deviceId: DeviceId): Promise<ConnectionRecord | undefined>;
  clear(): Change;
}

const PUT = `INSERT OR REPLACE INTO connections (deviceId, since, address, serial, protocol, cipher, keyGroup)
  VALUES (:deviceId, :since, :address, :serial, :protocol, :cipher, :group)`;

export function createConnections(engine: Engine): Connections {
  return {
    put: ({ deviceId, sinceMs: since, address, serial, protocol, cipher, group }) =>
      change(PUT, { deviceId, since, address, serial, protocol, cipher, group }),
    remove: (deviceId) => change("DELETE FROM connections WHERE deviceId = ?", [deviceId]),
    find: async (deviceId) => {
      const [row] = await engine.read("SELECT * FROM connections WHERE deviceId = ?", [deviceId]);
      return row === undefined ? undefined : connection(row, deviceId);
    },
    clear: () => change("DELETE FROM connections", []),
  };
}

function connection(row: Row, deviceId: DeviceId): ConnectionRecord {
  return {
    deviceId,
    sinceMs: integer(row, "since"),
    address: text(row, "address"),
    serial: text(row, "serial"),
    protocol: text(row, "protocol"),
    cipher: text(row, "cipher"),
    group: text(row, "keyGroup"),
  };
}
