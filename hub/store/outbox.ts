// Messages for devices until they are delivered or expire, and the answers to those that ask.
// Commands write them, the running hub sends them. Bounded for each device.
import { DOWN_CHANNELS, type DownChannel } from "../../agent/tunnel/format.ts";
import type { DeviceId } from "../../hal/format/identity.ts";
import { OUTBOX_PER_DEVICE_MAX } from "../limits.ts";
import { type Change, change, type Engine, guard } from "./engine.ts";
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
   * A hint replaces those of its kind that still wait for that device. A guard: the commit fails
   * when there is no room.
   */
  add(outgoing: Outgoing): Change;
  /** How many messages wait for this device, without those that `outgoing` would replace. */
  waiting(outgoing: Outgoing): Promise<number>;
  find(id: string): Promise<Queued | undefined>;
  /** Unacknowledged messages for connected devices, oldest first, at most `ofDeviceMax` each. */
  due(nowMs: number, ofDeviceMax: number): Promise<readonly Queued[]>;
  /** After delivery a hint is removed; an operation waits for its answer. */
  setDelivered(id: string, atMs: number): Change;
  /** The question with this id that is not answered yet. */
  asked(deviceId: DeviceId, correlation: string, nowMs: number): Promise<Queued | undefined>;
  /** A guard: the commit fails when the question is gone or answered. */
  answer(deviceId: DeviceId, correlation: string, answer: string, nowMs: number): Change;
  remove(id: string): Change;
  /** Messages that have expired. */
  expired(nowMs: number): Promise<readonly Queued[]>;
  /** How many messages this program cannot read, such as those of another version. [STA-15] */
  unreadable(): Promise<number>;
  /** Removes them, so that they hold up nobody's messages. */
  removeUnreadable(): Change;
  /** Removes all messages for a device that was revoked. */
  clear(deviceId: DeviceId): Change;
}

const ADD = `INSERT INTO outbox (deviceId, id, channel, kind, correlation, message, queuedAt, expiresAt)
  SELECT :deviceId, :id, :channel, :kind, :correlation, :message, :queuedAt, :expiresAt
  WHERE (SELECT count(*) FROM outbox WHERE deviceId = :deviceId AND expiresAt > :queuedAt) < ${OUTBOX_PER_DEVICE_MAX}`;
const REPLACE = "DELETE FROM outbox WHERE deviceId = ? AND kind = ? AND deliveredAt IS NULL";
const WAITING = `SELECT count(*) AS n FROM outbox WHERE deviceId = :deviceId AND expiresAt > :queuedAt
  AND (:replaces IS NULL OR kind <> :replaces OR deliveredAt IS NOT NULL)`;
const DUE = `SELECT * FROM (
    SELECT outbox.*, row_number() OVER (PARTITION BY deviceId ORDER BY n) AS place FROM outbox JOIN connections USING (deviceId)
    WHERE deliveredAt IS NULL AND expiresAt > ?) WHERE place <= ? ORDER BY n`;
const IS_UNREADABLE = `channel NOT IN (${DOWN_CHANNELS.map((channel) => `'${channel}'`).join(", ")})`;
const ASKED = "SELECT * FROM outbox WHERE deviceId = ? AND correlation = ? AND answer IS NULL AND expiresAt > ?";
const ANSWER = `UPDATE outbox SET answer = :answer, deliveredAt = coalesce(deliveredAt, :now)
  WHERE deviceId = :deviceId AND correlation = :correlation AND answer IS NULL AND expiresAt > :now`;

export function createOutbox(engine: Engine): Outbox {
  return {
    add: ({ deviceId, id, channel, kind, correlation, message, queuedAtMs: queuedAt, expiresAtMs: expiresAt }) => {
      const row = { deviceId, id, channel, kind, correlation: correlation ?? null, message, queuedAt, expiresAt };
      const add = { sql: ADD, parameters: row, guard: true };
      return { statements: correlation === undefined ? [{ sql: REPLACE, parameters: [deviceId, kind] }, add] : [add] };
    },
    waiting: async ({ deviceId, kind, correlation, queuedAtMs: queuedAt }) => {
      const replaces = correlation === undefined ? kind : null;
      const [row = {}] = await engine.read(WAITING, { deviceId, queuedAt, replaces });
      return integer(row, "n");
    },
    find: async (id) => first(await engine.read("SELECT * FROM outbox WHERE id = ?", [id])),
    due: async (nowMs, ofDeviceMax) => (await engine.read(DUE, [nowMs, ofDeviceMax])).map((row) => queued(row)),
    setDelivered: (id, atMs) => ({
      statements: [
        { sql: "DELETE FROM outbox WHERE id = ? AND correlation IS NULL", parameters: [id] },
        { sql: "UPDATE outbox SET deliveredAt = ? WHERE id = ? AND deliveredAt IS NULL", parameters: [atMs, id] },
      ],
    }),
    asked: async (deviceId, correlation, nowMs) => first(await engine.read(ASKED, [deviceId, correlation, nowMs])),
    answer: (deviceId, correlation, answer, now) => guard(ANSWER, { deviceId, correlation, answer, now }),
    unreadable: async () => {
      const [row = {}] = await engine.read(`SELECT count(*) AS n FROM outbox WHERE ${IS_UNREADABLE}`, []);
      return integer(row, "n");
    },
    removeUnreadable: () => change(`DELETE FROM outbox WHERE ${IS_UNREADABLE}`, []),
    remove: (id) => change("DELETE FROM outbox WHERE id = ?", [id]),
    expired: async (nowMs) =>
      (await engine.read("SELECT * FROM outbox WHERE expiresAt <= ? ORDER BY n", [nowMs])).map((row) => queued(row)),
    clear: (deviceId) => change("DELETE FROM outbox WHERE deviceId = ?", [deviceId]),
  };
}

function first([row]: readonly Row[]): Queued | undefined {
  return row === undefined ? undefined : queued(row);
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
