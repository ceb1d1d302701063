// The lockdown's record across restarts: the confirmed policy, and whether another one is on trial.
// It is one file, so that one write is one step. [LCK-10] [LCK-11]
import * as v from "valibot";
import { FAULT_CODES } from "../../hal/fault.ts";
import { isJson, type JsonValue } from "../../hal/format/json.ts";
import type { RecordFormat } from "../../hal/format/record.ts";
import { check, tryCheck } from "../../hal/format/schema.ts";
import type { DurableFiles } from "../../hal/ports.ts";
import * as records from "../../hal/record.ts";
import { type Policy, policySchema } from "./format/index.ts";
import { RECORD_BYTES_MAX, TRIALS_MAX } from "./limits.ts";

/** The name of the record in the directory of the lockdown. */
export const LOCKDOWN_FILE = "lockdown.json";

const planHashSchema = v.pipe(v.string(), v.regex(/^sha256:[0-9a-f]{64}$/u));
const counterSchema = v.pipe(v.number(), v.integer(), v.minValue(0));
/** [LCK-67] How many trials of the policy an orderly stop has ended. */
const interruptionsSchema = v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(TRIALS_MAX)));

const recordSchema = v.strictObject({
  /** 1: without interruptions. */
  v: v.picklist([1, 2]),
  /** Undefined while the image's base policy holds. */
  confirmed: v.optional(
    v.strictObject({
      counter: counterSchema,
      planHash: planHashSchema,
      /** Judged apart from the record: a newer policy in it is kept as it is. */
      policy: v.custom<JsonValue>((value) => isJson(value), "expected a policy"),
    }),
  ),
  /** Written before the first change: a start that finds it reverts the change. [LCK-10] */
  pending: v.optional(v.strictObject({ counter: counterSchema, planHash: planHashSchema, interruptions: interruptionsSchema })),
  /**
   * The last policy that was tried and not kept, so that it is not tried again by itself. [LCK-13]
   */
  reverted: v.optional(
    v.strictObject({
      counter: counterSchema,
      planHash: planHashSchema,
      reason: v.picklist(["deadline", "restarted", "stopped", "ordered", ...FAULT_CODES]),
      interruptions: interruptionsSchema,
    }),
  ),
});
type StoredRecord = v.InferOutput<typeof recordSchema>;

export interface LockdownRecord extends Omit<StoredRecord, "confirmed"> {
  readonly confirmed?: Accepted | undefined;
}

/**
 * A confirmed policy. `counter` is that of the TUF target that carried it, `planHash` that of the
 * confirmed plan.
 */
export interface Accepted {
  readonly counter: number;
  readonly planHash: string;
  /** Undefined when only a newer program can read it: everything is shut meanwhile. */
  readonly policy: Policy | undefined;
  /** The policy that cannot be read, which every write of the record keeps. [STA-5] */
  readonly unread?: JsonValue;
}

/** One that this program can read, as every policy that it tries. */
export interface ReadableAccepted extends Accepted {
  readonly policy: Policy;
}

export type Reverted = NonNullable<StoredRecord["reverted"]>;

/**
 * [LCK-67] Whether a policy that was reverted may be tried again by itself: an orderly stop, as
 * before a reboot, says nothing about the policy. Records of earlier versions do not count how
 * often.
 */
export function mayTryAgain({ reason, interruptions = 1 }: Reverted): boolean {
  return reason === "stopped" && interruptions < TRIALS_MAX;
}

const RECORD: RecordFormat<StoredRecord> = {
  what: "the lockdown record",
  version: 2,
  readable: 1,
  bytesMax: RECORD_BYTES_MAX,
  schema: recordSchema,
  legible: true,
};

/**
 * @returns undefined when there is no record.
 * @throws Fault `schema.invalid`, `json.*` for a record that cannot be trusted, and those of {@link
 *   DurableFiles.get}.
 */
export async function readRecord(files: DurableFiles): Promise<LockdownRecord | undefined> {
  const record = await records.readRecord(files, LOCKDOWN_FILE, RECORD);
  if (record === undefined) return undefined;
  const { confirmed, ...rest } = record;
  return confirmed === undefined ? rest : { ...rest, confirmed: accepted(confirmed) };
}

/** @throws Fault `schema.invalid` for a policy of this program's version that is damaged. */
function accepted({ counter, planHash, policy }: NonNullable<StoredRecord["confirmed"]>): Accepted {
  const readable = tryCheck(policySchema, policy);
  if (readable !== undefined) return { counter, planHash, policy: readable };
  const isNewer = typeof policy === "object" && policy !== null && "v" in policy && Number(policy["v"]) > 1;
  if (!isNewer) check(policySchema, policy, "the policy in the lockdown record");
  return { counter, planHash, policy: undefined, unread: policy };
}

/** @throws Fault of {@link DurableFiles.put}. */
export async function writeRecord(files: DurableFiles, record: LockdownRecord): Promise<void> {
  const { confirmed, ...rest } = record;
  await records.writeRecord(files, LOCKDOWN_FILE, RECORD, {
    ...rest,
    ...(confirmed === undefined ? {} : { confirmed: stored(confirmed) }),
  });
}

function stored({ counter, planHash, policy, unread }: Accepted): NonNullable<StoredRecord["confirmed"]> {
  return { counter, planHash, policy: policy ?? unread ?? null };
}
