// The durable record of an update: what survives a reboot. [OTA-35]
import * as v from "valibot";
import type { RecordFormat } from "../../hal/format/record.ts";
import { slotNameSchema } from "../../hal/format/slots.ts";
import { lineSchema, targetNameSchema } from "../trust/format/index.ts";
import {
  BOOT_ID_CHARACTERS_MAX,
  CHECKS_MAX,
  DETAIL_CHARACTERS_MAX,
  QUARANTINED_MAX,
  RECORD_BYTES_MAX,
  TRIES_MAX,
} from "./limits.ts";

const digestSchema = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, "expected 64 hex digits"));
const detailSchema = v.pipe(v.string(), v.maxLength(DETAIL_CHARACTERS_MAX));
const counterSchema = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

const releaseSchema = v.strictObject({
  /** Name of the target: `os/gateway-7`. */
  target: targetNameSchema,
  /** SHA-256 of the target's payload, in hex. */
  digest: digestSchema,
  line: lineSchema,
  counter: counterSchema,
  /** The floor of the line once this release is committed. */
  floorAfterCommit: counterSchema,
});
export type Release = v.InferOutput<typeof releaseSchema>;

const healthSchema = v.strictObject({
  name: v.pipe(v.string(), v.regex(/^[a-z][a-z0-9-]{0,31}$/, "expected a check's name")),
  verdict: v.picklist(["waiting", "passed", "failed"]),
  detail: detailSchema,
});
export type HealthResult = v.InferOutput<typeof healthSchema>;
const healthListSchema = v.pipe(v.array(healthSchema), v.maxLength(CHECKS_MAX));

const reasonSchema = v.strictObject({
  why: v.picklist(["not-booted", "interrupted", "deadline", "unhealthy", "ordered", "commit-failed", "fell-back"]),
  detail: detailSchema,
});
export type RollbackReason = v.InferOutput<typeof reasonSchema>;

const uptimeSchema = v.pipe(v.number(), v.integer(), v.minValue(1));
const trialMembers = {
  /**
   * Boots of the previous system that wrote the boot choice or asked for the reboot into it. The
   * boot in which the trial began counts.
   */
  tries: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(TRIES_MAX)),
  /**
   * The last of these boots. Records of earlier versions lack it: every start then counts as a
   * boot.
   */
  bootId: v.optional(v.pipe(v.string(), v.maxLength(BOOT_ID_CHARACTERS_MAX))),
  /** One for each check that must pass. */
  health: healthListSchema,
};
/** `seen`: the slot under trial booted far enough to start this program. */
const trialSchema = v.variant("seen", [
  /** Earlier versions wrote a deadline here, which nothing used. */
  v.strictObject({ ...trialMembers, seen: v.literal(false), deadlineUptimeMs: v.optional(uptimeSchema) }),
  /** The deadline of the slot under trial, counted from its boot. */
  v.strictObject({ ...trialMembers, seen: v.literal(true), deadlineUptimeMs: uptimeSchema }),
]);
export type Trial = v.InferOutput<typeof trialSchema>;

const release = releaseSchema;
const slot = slotNameSchema;
const health = healthListSchema;
const phaseSchema = v.variant("at", [
  v.strictObject({ at: v.literal("idle") }),
  v.strictObject({ at: v.literal("fetching"), release }),
  v.strictObject({ at: v.literal("verified"), release, slot }),
  v.strictObject({ at: v.literal("written"), release, slot }),
  v.strictObject({ at: v.literal("trying"), release, slot, trial: trialSchema }),
  v.strictObject({ at: v.literal("committing"), release, slot, health }),
  v.strictObject({ at: v.literal("rolling-back"), release, slot, reason: reasonSchema, health }),
  v.strictObject({ at: v.literal("committed"), release, slot }),
  v.strictObject({ at: v.literal("rolled-back"), release, reason: reasonSchema, health }),
  v.strictObject({ at: v.literal("failed"), release, detail: detailSchema }),
]);
export type Phase = v.InferOutput<typeof phaseSchema>;

const quarantinedSchema = v.strictObject({ digest: digestSchema, line: lineSchema, counter: counterSchema });

const recordSchema = v.strictObject({
  v: v.literal(1),
  phase: phaseSchema,
  /** Releases that were rolled back, oldest first. */
  quarantined: v.pipe(v.array(quarantinedSchema), v.maxLength(QUARANTINED_MAX)),
  /** The update has ended, and its end is not reported yet. */
  untold: v.optional(v.literal(true)),
});

export interface State {
  readonly phase: Phase;
  readonly quarantined: readonly Pick<Release, "digest" | "line" | "counter">[];
  readonly untold?: true | undefined;
}

type UpdateRecord = v.InferOutput<typeof recordSchema>;

export const UPDATE_RECORD: RecordFormat<UpdateRecord> = {
  what: "the update record",
  version: 1,
  readable: 1,
  bytesMax: RECORD_BYTES_MAX,
  schema: recordSchema,
  code: "update.record-invalid",
  legible: true,
};

export function recordOf({ phase, quarantined, untold }: State): UpdateRecord {
  return { v: 1, phase, quarantined: [...quarantined], ...(untold === true ? { untold } : {}) };
}

export function stateOf({ phase, quarantined, untold }: UpdateRecord): State {
  return { phase, quarantined, ...(untold === true ? { untold } : {}) };
}
