// The current connections, for the operator's list. The running hub writes them, and clears them
// when it starts.
import type { DatabaseSync } from "node:sqlite";
import type { DeviceId } from "../../hal/format/identity.ts";
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
  put(connection: ConnectionRecord): void;
  remove(deviceId: DeviceId): void;
  find(deviceId: DeviceId): ConnectionRecord | undefined;
  clear(): void;
}

export function createConnections(database: DatabaseSync): Connections {
  const put = database.prepare(
    `INSERT OR REPLACE INTO connections (deviceId, since, address, serial, protocol, cipher, keyGroup)
     VALUES (:deviceId, :since, :address, :serial, :protocol, :cipher, :group)`,
  );
  const remove = database.prepare("DELETE FROM connections WHERE deviceId = ?");
  const find = database.prepare("SELECT * FROM connections WHERE deviceId = ?");
  const clear = database.prepare("DELETE FROM connections");
  return {
    put: ({ deviceId, sinceMs: since, address, serial, protocol, cipher, group }) => {
      put.run({ deviceId, since, address, serial, protocol, cipher, group });
    },
    remove: (deviceId) => {
      remove.run(deviceId);
    },
    find: (deviceId) => {
      const row = find.get(deviceId);
      return row === undefined ? undefined : connection(row, deviceId);
    },
    clear: () => {
      clear.run();
    },
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
