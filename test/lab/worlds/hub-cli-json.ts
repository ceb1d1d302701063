// The JSON output of the hub's command line, for the hubs of the lab, of a rig and of a gateway.
import * as v from "valibot";
import { parseJson } from "../../../hal/format/json.ts";
import { check } from "../../../hal/format/schema.ts";
import { auditRecordSchema } from "../../../warden/audit/format/index.ts";
import { type UpdateStatus, updateStatusSchema } from "../../../warden/update/format.ts";
import type { HubProcess } from "./hub-process.ts";

/** Of one line. The longest is the status of a device, or an audit record. */
const LINE_BYTES_MAX = 262_144;

type Commands = Pick<HubProcess, "command">;

/**
 * @returns the object that a command prints.
 * @throws Fault `process.failed` unless it exits with 0; `json.invalid` or `schema.invalid` when it
 * prints something else.
 */
export async function hubSays<const S extends v.GenericSchema>(
  hub: Commands,
  schema: S,
  ...command: readonly string[]
): Promise<v.InferOutput<S>> {
  return judged(schema, await hub.command(...command, "--json"), command);
}

/**
 * @returns the objects that a command prints, one a line.
 * @throws Fault as {@link hubSays}.
 */
export async function hubLists<const S extends v.GenericSchema>(
  hub: Commands,
  schema: S,
  ...command: readonly string[]
): Promise<readonly v.InferOutput<S>[]> {
  const lines = (await hub.command(...command, "--json")).split("\n").filter((line) => line !== "");
  return lines.map((line) => judged(schema, line, command));
}

/**
 * @returns the device's answer over its tunnel. It is asked once: right after its boot it may not
 * be reachable.
 * @throws Fault as {@link hubSays}.
 */
export async function hubAsks<const S extends v.GenericSchema>(
  hub: Commands,
  id: string,
  operation: string,
  schema: S,
): Promise<v.InferOutput<S>> {
  return (await hubSays(hub, v.looseObject({ result: schema }), "ask", id, operation, "--wait", "10s")).result;
}

function judged<const S extends v.GenericSchema>(schema: S, said: string, command: readonly string[]): v.InferOutput<S> {
  const what = command.join(" ");
  return check(schema, parseJson(said, LINE_BYTES_MAX, what), what);
}

const deviceSchema = v.looseObject({
  id: v.string(),
  fingerprint: v.string(),
  state: v.string(),
  auditKey: v.optional(v.string()),
  auditKeyFingerprint: v.optional(v.string()),
  connection: v.optional(v.looseObject({ protocol: v.string(), cipher: v.string(), group: v.string(), serial: v.string() })),
});
export type HubDevice = v.InferOutput<typeof deviceSchema>;

/** The devices as the hub's operator sees them. */
export function hubDevices(hub: Commands): Promise<readonly HubDevice[]> {
  return hubLists(hub, deviceSchema, "devices", "list");
}

const heldSchema = v.strictObject({ seq: v.number(), record: auditRecordSchema });
export type HeldRecord = v.InferOutput<typeof heldSchema>;

/** The newest `count` records of the device's trail at the hub, oldest first. */
export function hubRecords(hub: Commands, id: string, count = 100_000): Promise<readonly HeldRecord[]> {
  return hubLists(hub, heldSchema, "audit", "show", id, "-n", String(count));
}

const reportSchema = v.looseObject({ update: v.optional(updateStatusSchema) });

/**
 * The progress of an update as the device has reported it to the hub; undefined before its first
 * report.
 */
export async function updateStatus(hub: Commands, id: string): Promise<UpdateStatus | undefined> {
  return (await hubSays(hub, reportSchema, "update", "status", id)).update;
}
