// The outcome of a fault, seen from outside: the device's status, the keys that the hub was ever
// shown, and the trail that it witnessed.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import type { DeviceStatus } from "../../../agent/status/format.ts";
import { Fault } from "../../../hal/fault.ts";
import { parseJson } from "../../../hal/format/json.ts";
import { check } from "../../../hal/format/schema.ts";
import { BIRTH_RECORD, type BirthRecord } from "../../../hal/format/identity.ts";
import { decodeRecord } from "../../../hal/format/record.ts";
import { errnoOf } from "../../../hal/linux/files/index.ts";
import type { AuditRecord } from "../../../warden/audit/format/index.ts";
import { hubDevices, hubRecords } from "./hub-cli-json.ts";
import { eventually, HANG_MS, type RunningProgram } from "../runner/process.ts";
import type { Rig } from "./rig.ts";

const LINE_BYTES_MAX = 65_536;
const STATUS_EVERY_MS = 250;

/**
 * Asks the device for its status until `holds` accepts it. A device that does not answer is asked
 * again.
 * @throws Fault `process.timeout`, with the last status in its cause.
 */
export async function untilStatus(
  rig: Rig,
  what: string,
  holds: (snapshot: DeviceStatus) => boolean,
  timeoutMs = HANG_MS,
): Promise<DeviceStatus> {
  const attempt = async (): Promise<DeviceStatus> => {
    const snapshot = await rig.status();
    if (holds(snapshot)) return snapshot;
    throw new Fault("process.failed", JSON.stringify(snapshot));
  };
  return eventually(what, attempt, timeoutMs, STATUS_EVERY_MS);
}

/**
 * Approves the board when the hub reports its request.
 * @returns its key's fingerprint.
 */
export async function approveOn(rig: Rig, hub: RunningProgram, id: string): Promise<string> {
  const line = await hub.line(new RegExp(`"id":"${id}".*device\\.requested`, "u"));
  const { detail } = check(requestedSchema, parseJson(line, LINE_BYTES_MAX, "journal"), "journal");
  await rig.hub.command("devices", "approve", id, detail.fingerprint);
  return detail.fingerprint;
}
const requestedSchema = v.looseObject({ detail: v.looseObject({ fingerprint: v.string() }) });

/** @returns every key that ever asked the hub under `id`: a device with one identity has one. */
export async function keysAtHub(rig: Rig, id: string): Promise<readonly string[]> {
  return (await hubDevices(rig.hub)).filter((device) => device.id === id).map(({ fingerprint }) => fingerprint);
}

/**
 * Waits until the hub has witnessed records of all `events` (two of an event that is named twice),
 * has it verify the whole trail, and checks that no record is missing.
 * @returns the trail.
 * @throws Fault `process.failed` when the trail is not whole.
 */
export async function verifiedTrail(rig: Rig, id: string, events: readonly string[]): Promise<readonly AuditRecord[]> {
  const trail = await eventually(`${events.join(", ")} in the trail of "${id}" at the hub`, async () => {
    const held = await hubRecords(rig.hub, id);
    const there = held.map(({ record }) => record.event);
    const missing = lacking(events, there);
    if (missing.length === 0) return held;
    throw new Fault("process.failed", `${missing.join(", ")} not among ${there.join(", ")}`);
  });
  await rig.hub.command("audit", "verify", id);
  trail.forEach(({ seq }, at) => {
    if (seq !== at) throw new Fault("process.failed", `record ${seq} of "${id}" lies at ${at}`);
  });
  return trail.map(({ record }) => record);
}

function lacking(wanted: readonly string[], there: readonly string[]): readonly string[] {
  const left = [...there];
  return wanted.filter((event) => {
    const at = left.indexOf(event);
    if (at >= 0) left.splice(at, 1);
    return at < 0;
  });
}

/** The record of the board's first identity; undefined before it is written. */
export async function birthOf(rig: Rig): Promise<BirthRecord | undefined> {
  const bytes = await readFile(join(rig.board.birth, "birth.json")).catch((error: unknown) => {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  });
  return bytes === undefined ? undefined : decodeRecord(bytes, BIRTH_RECORD);
}
