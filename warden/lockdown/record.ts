// The lockdown's record across restarts: the confirmed policy, and whether another one is on trial.
// It is one file, so that one write is one step. [LCK-10] [LCK-11]
import * as v from "valibot";
import { canonicalJson, parseCanonicalJson } from "../../hal/format/json.ts";
import { FAULT_CODES } from "../../hal/fault.ts";
import { check } from "../../hal/format/schema.ts";
import type { DurableFiles } from "../../hal/ports.ts";
import { policySchema } from "./format/index.ts";
import { RECORD_BYTES_MAX } from "./limits.ts";

const NAME = "lockdown.json";

const planHashSchema = v.pipe(v.string(), v.regex(/^sha256:[0-9a-f]{64}$/u));
const counterSchema = v.pipe(v.number(), v.integer(), v.minValue(0));

const recordSchema = v.strictObject({
  v: v.literal(1),
  /** Undefined while the image's base policy holds. */
  confirmed: v.optional(v.strictObject({ counter: counterSchema, planHash: planHashSchema, policy: policySchema })),
  /** Written before the first change: a start that finds it reverts the change. [LCK-10] */
  pending: v.optional(v.strictObject({ counter: counterSchema, planHash: planHashSchema })),
  /**
   * The last policy that was tried and not kept, so that it is not tried again by itself. [LCK-13]
   */
  reverted: v.optional(
    v.strictObject({
      counter: counterSchema,
      planHash: planHashSchema,
      reason: v.picklist(["deadline", "restarted", "stopped", "ordered", ...FAULT_CODES]),
    }),
  ),
});
export type LockdownRecord = v.InferOutput<typeof recordSchema>;

/**
 * A confirmed policy. `counter` is that of the TUF target that carried it, `planHash` that of the
 * confirmed plan.
 */
export type Accepted = NonNullable<LockdownRecord["confirmed"]>;

export type Reverted = NonNullable<LockdownRecord["reverted"]>;

/**
 * @returns undefined when there is no record.
 * @throws Fault `schema.invalid`, `json.*` for a record that cannot be trusted, and those of {@link
 *   DurableFiles.get}.
 */
export async function readRecord(files: DurableFiles): Promise<LockdownRecord | undefined> {
  const bytes = await files.get(NAME, RECORD_BYTES_MAX);
  return bytes === undefined
    ? undefined
    : check(recordSchema, parseCanonicalJson(bytes, RECORD_BYTES_MAX, "lockdown record"), "lockdown record");
}

/** @throws Fault of {@link DurableFiles.put}. */
export async function writeRecord(files: DurableFiles, record: LockdownRecord): Promise<void> {
  await files.put(NAME, Buffer.from(canonicalJson(record)));
}
