// Received messages: their ids, to drop repetitions [TUN-8], and small bodies, to show what a
// device reported last. Bounded for each device.
import type { DatabaseSync } from "node:sqlite";
import type { DeviceId } from "../../hal/format/identity.ts";
import type { UpChannel } from "../../agent/tunnel/format.ts";
import { UP_CHANNELS } from "../../agent/tunnel/format.ts";
import { MESSAGE_BODY_BYTES_MAX, MESSAGES_PER_DEVICE_MAX } from "../limits.ts";
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
  /** @returns false when this device has sent this id before; then nothing changes. */
  add(deviceId: DeviceId, message: StoredMessage): boolean;
  /** The newest first. */
  last(deviceId: DeviceId, channel: UpChannel, countMax: number): readonly StoredMessage[];
}

/**
 * Trimming each time would cost a delete per message, so the table may exceed its bound by this.
 */
const SLACK = 64;

export function createMessages(database: DatabaseSync): Messages {
  const add = database.prepare(
    `INSERT OR IGNORE INTO messages (deviceId, id, channel, at, receivedAt, body)
     VALUES (:deviceId, :id, :channel, :at, :receivedAt, :body)`,
  );
  const trim = database.prepare(
    `DELETE FROM messages WHERE deviceId = :deviceId AND n <=
       (SELECT n FROM messages WHERE deviceId = :deviceId ORDER BY n DESC LIMIT 1 OFFSET :max)`,
  );
  const last = database.prepare("SELECT * FROM messages WHERE deviceId = ? AND channel = ? ORDER BY n DESC LIMIT ?");
  return {
    add: (deviceId, { id, channel, at, receivedAtMs: receivedAt, body }) => {
      const stored = body === undefined || Buffer.byteLength(body) > MESSAGE_BODY_BYTES_MAX ? null : body;
      const { changes, lastInsertRowid } = add.run({ deviceId, id, channel, at, receivedAt, body: stored });
      if (Number(changes) === 0) return false;
      if (Number(lastInsertRowid) % SLACK === 0) trim.run({ deviceId, max: MESSAGES_PER_DEVICE_MAX });
      return true;
    },
    last: (deviceId, channel, countMax) => last.all(deviceId, channel, countMax).map((row) => message(row)),
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
