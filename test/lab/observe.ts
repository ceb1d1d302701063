// What a fault left behind, seen from outside: the device's status, the keys the hub was ever shown, the trail it witnessed.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import type { Snapshot } from "../../agent/status/format.ts";
import { Fault } from "../../hal/fault.ts";
import { parseJson } from "../../hal/format/json.ts";
import { check } from "../../hal/format/schema.ts";
import { type BirthRecord, birthRecordSchema } from "../../hal/identity/format.ts";
import { eventually, type RunningProgram } from "./process.ts";
import type { Rig } from "./rig.ts";

const LINE_BYTES_MAX = 65_536;
const STATUS_EVERY_MS = 250;

/** Asks the device until `holds`; a device that does not answer is asked again. @throws Fault `process.timeout`, with the last status in its cause. */
export async function untilStatus(
  rig: Rig,
  what: string,
  holds: (snapshot: Snapshot) => boolean,
  timeoutMs = 30_000,
): Promise<Snapshot> {
  const look = async (): Promise<Snapshot> => {
    const snapshot = await rig.status();
    if (holds(snapshot)) return snapshot;
    throw new Fault("process.failed", JSON.stringify(snapshot));
  };
  return eventually(what, look, timeoutMs, STATUS_EVERY_MS);
}

/** Lets the board in when the hub says that it asked. @returns its key's fingerprint. */
export async function approveOn(rig: Rig, hub: RunningProgram, id: string): Promise<string> {
  const line = await hub.line(new RegExp(`"id":"${id}".*device\\.requested`, "u"));
  const { detail } = check(requestedSchema, parseJson(line, LINE_BYTES_MAX, "journal"), "journal");
  await rig.hubCommand("devices", "approve", id, detail.fingerprint);
  return detail.fingerprint;
}
const requestedSchema = v.looseObject({ detail: v.looseObject({ fingerprint: v.string() }) });

/** Every key that ever asked the hub under `id`: a device with one identity has one. */
export async function keysAtHub(rig: Rig, id: string): Promise<readonly string[]> {
  const lines = (await rig.hubCommand("devices", "list", "--json")).split("\n").filter((line) => line !== "");
  return lines
    .map((line) => check(deviceSchema, parseJson(line, LINE_BYTES_MAX, "device"), "device"))
    .filter((device) => device.id === id)
    .map(({ fingerprint }) => fingerprint);
}
const deviceSchema = v.looseObject({ id: v.string(), fingerprint: v.string() });

export interface Witnessed {
  readonly seq: number;
  readonly event: string;
  readonly result: string;
  readonly detail: Readonly<Record<string, unknown>>;
}

/**
 * Waits until the hub has witnessed records of all `events` (of one that is named twice, two), has it verify the whole trail, and looks that no record is missing in it.
 * @returns the trail. @throws Fault `process.failed` when the trail is not whole.
 */
export async function verifiedTrail(rig: Rig, id: string, events: readonly string[]): Promise<readonly Witnessed[]> {
  const trail = await eventually(`${events.join(", ")} in the trail of "${id}" at the hub`, async () => {
    const records = await trailOf(rig, id);
    const missing = lacking(
      events,
      records.map(({ event }) => event),
    );
    if (missing.length === 0) return records;
    throw new Fault("process.failed", `${missing.join(", ")} not among ${records.map(({ event }) => event).join(", ")}`);
  });
  await rig.hubCommand("audit", "verify", id);
  trail.forEach(({ seq }, at) => {
    if (seq !== at) throw new Fault("process.failed", `record ${seq} of "${id}" lies at ${at}`);
  });
  return trail;
}

function lacking(wanted: readonly string[], there: readonly string[]): readonly string[] {
  const left = [...there];
  return wanted.filter((event) => {
    const at = left.indexOf(event);
    if (at >= 0) left.splice(at, 1);
    return at < 0;
  });
}

async function trailOf(rig: Rig, id: string): Promise<readonly Witnessed[]> {
  const lines = (await rig.hubCommand("audit", "show", id, "-n", "100000", "--json")).split("\n").filter((line) => line !== "");
  return lines.map((line) => {
    const { seq, record } = check(shownSchema, parseJson(line, LINE_BYTES_MAX, "record"), "record");
    return { seq, event: record.event, result: record.result, detail: record.detail ?? {} };
  });
}
const shownSchema = v.looseObject({
  seq: v.number(),
  record: v.looseObject({ event: v.string(), result: v.string(), detail: v.optional(v.record(v.string(), v.unknown())) }),
});

/** The record of the board's first identity; undefined before there was one. */
export async function birthOf(rig: Rig): Promise<BirthRecord | undefined> {
  const bytes = await readFile(join(rig.board.birth, "birth.json")).catch(() => undefined);
  return bytes === undefined ? undefined : check(birthRecordSchema, parseJson(bytes, LINE_BYTES_MAX, "birth"), "birth");
}
