// The durable record that the broker refused MQTT 5, and when. [TUN-10]
import * as v from "valibot";
import type { DurableFiles } from "../../hal/ports.ts";
import { Fault } from "../../hal/fault.ts";
import type { RecordFormat } from "../../hal/format/record.ts";
import { readRecord, writeRecord } from "../../hal/record.ts";

const NAME = "tunnel.json";

const recordSchema = v.strictObject({
  v: v.literal(1),
  mqtt5RefusedAtMs: v.optional(v.pipe(v.number(), v.safeInteger())),
});

const RECORD: RecordFormat<v.InferOutput<typeof recordSchema>> = {
  what: "the tunnel record",
  version: 1,
  readable: 1,
  bytesMax: 1024,
  schema: recordSchema,
  replaceable: true,
};

/**
 * @returns the wall clock of the refusal in Unix milliseconds, or undefined. A malformed record
 *   counts as none, because to offer MQTT 5 once more costs only one connection.
 * @throws Fault of `files`.
 */
export async function readMqtt5Refusal(files: DurableFiles): Promise<number | undefined> {
  try {
    return (await readRecord(files, NAME, RECORD))?.mqtt5RefusedAtMs;
  } catch (error) {
    if (error instanceof Fault && !error.code.startsWith("file.")) return undefined;
    throw error;
  }
}

/** @throws Fault of `files`. */
export async function writeMqtt5Refusal(files: DurableFiles, mqtt5RefusedAtMs: number | undefined): Promise<void> {
  if (mqtt5RefusedAtMs === undefined) await files.remove(NAME);
  else await writeRecord(files, NAME, RECORD, { v: 1, mqtt5RefusedAtMs });
}
