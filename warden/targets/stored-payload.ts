// The stored payload: the newest signed policy or roster for this device. It stays valid across
// restarts, even when the repository later publishes something else. [OPS-8] [LCK-13]
import { createHash } from "node:crypto";
import * as v from "valibot";
import { Fault } from "../../hal/fault.ts";
import type { RecordFormat } from "../../hal/format/record.ts";
import type { DurableFiles } from "../../hal/ports.ts";
import { readRecord, writeRecord } from "../../hal/record.ts";
import { targetNameSchema } from "../../ota/trust/format/index.ts";
import { REPORT_VALUES_MAX } from "../../hal/format/json.ts";

/** A payload whose target was verified, with its origin. */
export interface StoredPayload {
  readonly target: string;
  readonly counter: number;
  /** SHA-256 of the payload, in hex. */
  readonly digest: string;
  readonly bytes: Uint8Array;
}

const ENVELOPE_BYTES = 1024;

const storedSchema = v.strictObject({
  v: v.literal(1),
  target: targetNameSchema,
  counter: v.pipe(v.number(), v.safeInteger(), v.minValue(1)),
  digest: v.string(),
  payload: v.pipe(v.string(), v.base64("expected base64")),
});

/** The counter stays legible: an unread payload must not let an older one in. [STA-5] */
function payloadRecord(line: string, payloadBytesMax: number): RecordFormat<v.InferOutput<typeof storedSchema>> {
  return {
    what: `the stored payload "${line}"`,
    version: 1,
    readable: 1,
    bytesMax: 4 * Math.ceil(payloadBytesMax / 3) + ENVELOPE_BYTES,
    schema: storedSchema,
    limits: { valuesMax: REPORT_VALUES_MAX },
    legible: true,
  };
}

/** The trust store keeps `*.json` in the same directory, with names that the repository chooses. */
export function storedName(line: string): string {
  return `${line}.taken`;
}

/**
 * @param payloadBytesMax bound of the payload itself.
 * @returns undefined when none was stored yet.
 * @throws Fault `trust.mismatch` when it is not what was stored; `json.*`, `schema.invalid` and
 *   those of {@link DurableFiles.get}.
 */
export async function readStored(files: DurableFiles, line: string, payloadBytesMax: number): Promise<StoredPayload | undefined> {
  const format = payloadRecord(line, payloadBytesMax);
  const record = await readRecord(files, storedName(line), format);
  if (record === undefined) return undefined;
  const { target, counter, digest, payload } = record;
  const decoded = Buffer.from(payload, "base64");
  if (sha256(decoded) !== digest) throw new Fault("trust.mismatch", `${format.what} was changed: its SHA-256 differs`);
  return { target, counter, digest, bytes: decoded };
}

/** Durable when it resolves. @throws Fault of {@link DurableFiles.put}. */
export async function writeStored(
  files: DurableFiles,
  line: string,
  payloadBytesMax: number,
  { target, counter, digest, bytes }: StoredPayload,
): Promise<void> {
  const payload = Buffer.from(bytes).toString("base64");
  await writeRecord(files, storedName(line), payloadRecord(line, payloadBytesMax), { v: 1, target, counter, digest, payload });
}

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
