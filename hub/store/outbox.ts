// Messages for devices until they are delivered or expire, and the answers to those that ask.
// Commands write them, the running hub sends them. Bounded for each device.
import type { DatabaseSync } from "node:sqlite";
import { DOWN_CHANNELS, type DownChannel } from "../../agent/tunnel/format.ts";
import { Fault } from "../../hal/fault.ts";
import type { DeviceId } from "../../hal/format/identity.ts";
import { OUTBOX_PER_DEVICE_MAX } from "../limits.ts";
import { deviceId as deviceIdIn, integer, oneOf, optional, type Row, text } from "./row.ts";

export interface Outgoing {
  readonly deviceId: DeviceId;
  /** The message's id, the same each time it is sent. [TUN-8] */
  readonly id: string;
  readonly channel: DownChannel;
  /** `operation`, or the hint's own kind. */
  readonly kind: string;
  /** For an operation: the id that its answer will carry. [OPS-6] */
  readonly correlation: string | undefined;
  /** The encoded message. */
  readonly message: string;
  readonly queuedAtMs: number;
  /** After this it is not sent, and it is removed together with its answer. */
  readonly expiresAtMs: number;
}

export interface Queued extends Outgoing {
  /** When the device acknowledged it. */
  readonly deliveredAtMs: number | undefined;
  /** JSON. */
  readonly answer: string | undefined;
}

export interface Outbox {
  /**
   * A hint replaces those of its kind that still wait for that device.
   * @throws Fault `hub.outbox-full`.
   */
  add(outgoing: Outgoing): void;
  find(id: string): Queued | undefined;
  /** Unacknowledged messages for connected devices, oldest first, at most `ofDeviceMax` each. */
  due(nowMs: number, ofDeviceMax: number): readonly Pick<Queued, "deviceId" | "id">[];
  /** After delivery a hint is removed; an operation waits for its answer. */
  setDelivered(id: string, atMs: number): void;
  /** @returns the question, or undefined when there is none or it is answered already. */
  answer(deviceId: DeviceId, correlation: string, answer: string, nowMs: number): Queued | undefined;
  /** @returns the removed message. */
  remove(id: string): Queued | undefined;
  /** @returns the expired messages that no device received. */
  dropExpired(nowMs: number): readonly Queued[];
  /** Removes all messages for a device that was revoked. */
  clear(deviceId: DeviceId): void;
}

export function createOutbox(database: DatabaseSync): Outbox {
  const add = database.prepare(
    `INSERT INTO outbox (deviceId, id, channel, kind, correlation, message, queuedAt, expiresAt)
     VALUES (:deviceId, :id, :channel, :kind, :correlation, :message, :queuedAt, :expiresAt)`,
  );
  const replace = database.prepare("DELETE FROM outbox WHERE deviceId = ? AND kind = ? AND deliveredAt IS NULL");
  const count = database.prepare("SELECT count(*) AS n FROM outbox WHERE deviceId = ? AND expiresAt > ?");
  const find = database.prepare("SELECT * FROM outbox WHERE id = ?");
  const due = database.prepare(
    `SELECT deviceId, id FROM (
       SELECT outbox.*, row_number() OVER (PARTITION BY deviceId ORDER BY n) AS place FROM outbox JOIN connections USING (deviceId)
       WHERE deliveredAt IS NULL AND expiresAt > ?) WHERE place <= ? ORDER BY n`,
  );
  const deliveredHint = database.prepare("DELETE FROM outbox WHERE id = ? AND correlation IS NULL");
  const delivered = database.prepare("UPDATE outbox SET deliveredAt = ? WHERE id = ? AND deliveredAt IS NULL");
  const answer = database.prepare(
    `UPDATE outbox SET answer = :answer, deliveredAt = coalesce(deliveredAt, :now)
     WHERE deviceId = :deviceId AND correlation = :correlation AND answer IS NULL AND expiresAt > :now RETURNING *`,
  );
  const remove = database.prepare("DELETE FROM outbox WHERE id = ? RETURNING *");
  const expired = database.prepare("SELECT 1 FROM outbox WHERE expiresAt <= ? LIMIT 1");
  const dropExpired = database.prepare("DELETE FROM outbox WHERE expiresAt <= ? RETURNING *");
  const clear = database.prepare("DELETE FROM outbox WHERE deviceId = ?");
  const first = (row: Row | undefined): Queued | undefined => (row === undefined ? undefined : queued(row));
  return {
    add: ({ deviceId, id, channel, kind, correlation, message, queuedAtMs: queuedAt, expiresAtMs: expiresAt }) => {
      if (correlation === undefined) replace.run(deviceId, kind);
      if (integer(count.get(deviceId, queuedAt) ?? {}, "n") >= OUTBOX_PER_DEVICE_MAX)
        throw new Fault(
          "hub.outbox-full",
          `queue a message for "${deviceId}": ${OUTBOX_PER_DEVICE_MAX} already wait for it; try again after it has received some, or after they have expired`,
        );
      add.run({ deviceId, id, channel, kind, correlation: correlation ?? null, message, queuedAt, expiresAt });
    },
    find: (id) => first(find.get(id)),
    due: (nowMs, ofDeviceMax) =>
      due.all(nowMs, ofDeviceMax).map((row) => ({ deviceId: deviceIdIn(row, "deviceId"), id: text(row, "id") })),
    setDelivered: (id, atMs) => {
      if (Number(deliveredHint.run(id).changes) === 0) delivered.run(atMs, id);
    },
    answer: (deviceId, correlation, given, nowMs) => first(answer.get({ deviceId, correlation, answer: given, now: nowMs })),
    remove: (id) => first(remove.get(id)),
    dropExpired: (nowMs) => {
      // Called often, so it must not write when there is nothing to do.
      if (expired.get(nowMs) === undefined) return [];
      return dropExpired
        .all(nowMs)
        .map((row) => queued(row))
        .filter(({ deliveredAtMs }) => deliveredAtMs === undefined);
    },
    clear: (deviceId) => {
      clear.run(deviceId);
    },
  };
}

function queued(row: Row): Queued {
  return {
    deviceId: deviceIdIn(row, "deviceId"),
    id: text(row, "id"),
    channel: oneOf(DOWN_CHANNELS, row, "channel"),
    kind: text(row, "kind"),
    correlation: optional(text, row, "correlation"),
    message: text(row, "message"),
    queuedAtMs: integer(row, "queuedAt"),
    expiresAtMs: integer(row, "expiresAt"),
    deliveredAtMs: optional(integer, row, "deliveredAt"),
    answer: optional(text, row, "answer"),
  };
}
