// The record of an upgrade under way: how far it is, and which keys it is about. [ID-68]
import * as v from "valibot";
import { fingerprintSchema, protectionSchema } from "../../hal/format/identity.ts";
import type { RecordFormat } from "../../hal/format/record.ts";
import { Fault } from "../../hal/fault.ts";
import type { DurableFiles } from "../../hal/ports.ts";
import { readRecord, writeRecord } from "../../hal/record.ts";
import { UPGRADE_RECORD_BYTES_MAX } from "./limits.ts";
import { type Active, IDLE, restored, type State } from "./machine.ts";

const NAME = "key-upgrade.json";

const upgradeRecordSchema = v.strictObject({
  v: v.literal(1),
  at: v.picklist(["making", "requesting", "proving", "replacing", "removing", "abandoning"]),
  order: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/u)),
  from: fingerprintSchema,
  was: protectionSchema,
  to: protectionSchema,
  made: v.optional(fingerprintSchema),
});
type UpgradeRecord = v.InferOutput<typeof upgradeRecordSchema>;

const UPGRADE: RecordFormat<UpgradeRecord> = {
  what: "the record of the key upgrade",
  version: 1,
  readable: 1,
  bytesMax: UPGRADE_RECORD_BYTES_MAX,
  schema: upgradeRecordSchema,
  replaceable: true, // the key of the birth record works without it, and the order begins again
};

/** A record that is missing, damaged or of a newer program counts as no upgrade. */
export async function loadUpgrade(files: DurableFiles): Promise<State> {
  try {
    const record = await readRecord(files, NAME, UPGRADE);
    if (record === undefined) return IDLE;
    const { v: _version, at, ...upgrade } = record;
    return restored(at, upgrade);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return IDLE;
  }
}

/** @throws Fault of {@link DurableFiles}. */
export async function storeUpgrade(files: DurableFiles, state: State): Promise<void> {
  if (state.at === "idle") return await files.remove(NAME);
  const { order, from, was, to, made } = (state satisfies Active).upgrade;
  await writeRecord(files, NAME, UPGRADE, { v: 1, at: state.at, order, from, was, to, ...(made === undefined ? {} : { made }) });
}
