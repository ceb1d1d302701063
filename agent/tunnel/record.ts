// The durable record that the broker refused MQTT 5, and when. [TUN-10]
import * as v from "valibot";
import type { DurableFiles } from "../../hal/ports.ts";
import { Fault } from "../../hal/fault.ts";
import { parseJson } from "../../hal/format/json.ts";
import { check } from "../../hal/format/schema.ts";

const NAME = "tunnel.json";
const BYTES_MAX = 1024;

const recordSchema = v.strictObject({
  v: v.literal(1),
  mqtt5RefusedAtMs: v.optional(v.pipe(v.number(), v.safeInteger())),
});

/**
 * @returns the wall clock of the refusal in Unix milliseconds, or undefined. A malformed record
 *   counts as none, because to offer MQTT 5 once more costs only one connection.
 * @throws Fault of `files`.
 */
export async function readMqtt5Refusal(files: DurableFiles): Promise<number | undefined> {
  const bytes = await files.get(NAME, BYTES_MAX);
  if (bytes === undefined) return undefined;
  try {
    return check(recordSchema, parseJson(bytes, BYTES_MAX, NAME), NAME).mqtt5RefusedAtMs;
  } catch (error) {
    if (error instanceof Fault && (error.code === "json.invalid" || error.code === "schema.invalid")) return undefined;
    throw error;
  }
}

/** @throws Fault of `files`. */
export async function writeMqtt5Refusal(files: DurableFiles, mqtt5RefusedAtMs: number | undefined): Promise<void> {
  if (mqtt5RefusedAtMs === undefined) await files.remove(NAME);
  else await files.put(NAME, Buffer.from(`${JSON.stringify({ v: 1, mqtt5RefusedAtMs })}\n`));
}
