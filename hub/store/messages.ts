// Received messages: their ids, to drop repetitions [TUN-8], and small bodies, to show what a
// device reported last. Bounded for each device.
import type { DeviceId } from "../../hal/format/identity.ts";
import type { UpChannel } from "../../agent/tunnel/format.ts";
import { UP_CHANNELS } from "../../agent/tunnel/format.ts";
import { MESSAGE_BODY_BYTES_MAX, MESSAGES_PER_DEVICE_MAX } from "../limits.ts";
import type { Change, Engine } from "./engine.ts";
import { integer, oneOf, optional, type Row, text } from "./row.ts";

export interface StoredMessage {
  readonly id: string;
  readonly channel: UpChannel;
  /** The device's clock. */
  readonly at: string;
  readonly receivedAtMs: number;
  /** JSON; undefined when it was too large to store, or its channel is stored elsewhere. */
  readonly body: string | undefined;
}

export interface Messages {
  /** @returns those of `ids` that this device has sent before. */
  known(deviceId: DeviceId, ids: readonly string[]): Promise<ReadonlySet<string>>;
  /** A guard: the commit fails when this device has sent this id before. */
  add(deviceId: DeviceId, message: StoredMessage): Change;
  /** The newest first. */
  last(deviceId: DeviceId, channel: UpChannel, countMax: number): Promise<readonly StoredMessage[]>;
}

/**
 * Trimming each time would cost a delete per message, so the table may exceed its bound by this.
 */
const SLACK = 64;

const KNOWN = "SELECT id FROM messages WHERE deviceId = ? AND id IN (SELECT value FROM json_each(?))";
const ADD = `INSERT INTO messages (deviceId, id, channel, at, receivedAt, body)
  VALUES (:deviceId, :id, :channel, :at, :receivedAt, :body)`;
const TRIM = `DELETE FROM messages WHERE last_insert_rowid() % ${SLACK} = 0 AND deviceId = :deviceId AND n <=
  (SELECT n FROM messages WHERE deviceId = :deviceId ORDER BY n DESC LIMIT 1 OFFSET ${MESSAGES_PER_DEVICE_MAX})`;
const LAST = "SELECT * FROM messages WHERE deviceId = ? AND channel = ? ORDER BY n DESC LIMIT ?";

export function createMessages(engine: Engine): Messages {
  return {
    known: async (deviceId, ids) => {
      const rows = await engine.read(KNOWN, [deviceId, JSON.stringify(ids)]);
      return new Set(rows.map((row) => text(row, "id")));
    },
    add: (deviceId, { id, channel, at, receivedAtMs: receivedAt, body }) => {
      const stored = body === undefined || Buffer.byteLength(body) > MESSAGE_BODY_BYTES_MAX ? null : body;
      return {
        statements: [
          { sql: ADD, parameters: { deviceId, id, channel, at, receivedAt, body: stored } },
          { sql: TRIM, parameters: { deviceId } },
        ],
      };
    },
    last: async (deviceId, channel, countMax) =>
      (await engine.read(LAST, [deviceId, channel, countMax])).map((row) => message(row)),
  };
}

function message(row: Row): StoredMessage {
  return {
    id: text(row, "id"),
    channel: oneOf(UP_CHANNELS, row, "channel"),
    at: text(row, "at"),
    receivedAtMs: integer(row, "receivedAt"),
    body: optional(text, row, "body"),
  };
}
