// Typed reading of SQLite rows by column. An unexpected type, as in a store of another version, is
// a fault and not an undefined.
import { Fault } from "../../hal/fault.ts";
import { check } from "../../hal/format/schema.ts";
import { type DeviceId, deviceIdSchema } from "../../hal/format/identity.ts";

export type Row = Readonly<Record<string, unknown>>;

export function text(row: Row, column: string): string {
  const value = row[column];
  if (typeof value !== "string") throw wrong(column, "text", value);
  return value;
}

export function integer(row: Row, column: string): number {
  const value = row[column];
  if (typeof value !== "number") throw wrong(column, "an integer", value);
  return value;
}

export function blob(row: Row, column: string): Uint8Array {
  const value = row[column];
  if (!(value instanceof Uint8Array)) throw wrong(column, "bytes", value);
  return value;
}

export function deviceId(row: Row, column: string): DeviceId {
  return check(deviceIdSchema, text(row, column), `stored device id in "${column}"`, "hub.store-failed");
}

/** Reads a column that may be NULL. */
export function optional<T>(read: (row: Row, column: string) => T, row: Row, column: string): T | undefined {
  return row[column] === null ? undefined : read(row, column);
}

/** One of `values`; a CHECK in the schema demands the same. */
export function oneOf<const T extends string>(values: readonly T[], row: Row, column: string): T {
  const value = text(row, column);
  const found = values.find((candidate) => candidate === value);
  if (found === undefined) throw wrong(column, `one of ${values.join(", ")}`, value);
  return found;
}

function wrong(column: string, expected: string, value: unknown): Fault {
  return new Fault("hub.store-failed", `read column "${column}" of the hub's store: expected ${expected}, got ${typeof value}`);
}
