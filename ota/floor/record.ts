// The record of floors: how far back each line of the device may go. The warden keeps it. Pure.
// [OTA-36]
import * as v from "valibot";
import { assert, Fault } from "../../hal/fault.ts";
import type { RecordFormat } from "../../hal/format/record.ts";
import { check } from "../../hal/format/schema.ts";
import { lineSchema } from "../trust/format/index.ts";
import { COUNTER_MAX, FLOOR_LINES_MAX, FLOORS_BYTES_MAX } from "./limits.ts";

const counterSchema = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(COUNTER_MAX));

const lineStateSchema = v.pipe(
  v.strictObject({
    /** The lowest counter that may still be installed. */
    floor: counterSchema,
    /** The counter that was committed last, which the next release replaces. */
    committed: counterSchema,
  }),
  v.check(({ floor, committed }) => floor <= committed, "expected a floor no higher than what was committed"),
);

const recordSchema = v.strictObject({
  v: v.literal(1),
  /**
   * Grows by one with each write. A TPM's counter, if there is one, follows it: the record is valid
   * when its serial equals that counter or is one more.
   */
  serial: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  lines: v.pipe(
    v.record(lineSchema, lineStateSchema),
    v.check((lines) => Object.keys(lines).length <= FLOOR_LINES_MAX, `expected at most ${FLOOR_LINES_MAX} lines`),
  ),
});
export type FloorRecord = v.InferOutput<typeof recordSchema>;

/** A commit, as the floors see it. */
export interface FloorCommit {
  readonly line: string;
  readonly counter: number;
  /** The floor from now on. A value below the present floor changes nothing. */
  readonly floor: number;
}

/** The record of a device that has committed nothing yet. */
export const NO_FLOORS: FloorRecord = { v: 1, serial: 0, lines: {} };

/**
 * [OTA-36] Floors never fall.
 * @returns the record after a commit, or the same object when it already contains the commit,
 *   because a commit may be repeated.
 */
export function withCommit(record: FloorRecord, { line, counter, floor }: FloorCommit): FloorRecord {
  assert(floor <= counter, "a release is not below its own floor");
  const before = Object.hasOwn(record.lines, line) ? record.lines[line] : undefined;
  const after = { floor: Math.max(before?.floor ?? 0, floor), committed: counter };
  if (after.floor > counter) throw new Fault("floor.below", `commit ${line} ${counter}: the floor of the line is ${after.floor}`);
  if (before?.floor === after.floor && before.committed === after.committed) return record;
  return check(
    recordSchema,
    { v: 1, serial: record.serial + 1, lines: { ...record.lines, [line]: after } },
    "floor record",
    "floor.invalid",
  );
}

/** The lowest counters that may still be installed, by line. */
export function floorsOf(record: FloorRecord): ReadonlyMap<string, number> {
  return new Map(Object.entries(record.lines).map(([line, { floor }]) => [line, floor]));
}

/** A record that cannot be read must not let any release pass. [STA-5] */
export const FLOORS: RecordFormat<FloorRecord> = {
  what: "the floor record",
  version: 1,
  readable: 1,
  bytesMax: FLOORS_BYTES_MAX,
  schema: recordSchema,
  code: "floor.invalid",
  legible: true,
};
