// The newest signed policy and roster for this device, as they were taken: they hold across restarts, whatever the repository says later. [OPS-8] [LCK-13]
import { createHash } from "node:crypto";
import * as v from "valibot";
import { Fault } from "../../hal/fault.ts";
import { canonicalJson, parseCanonicalJson } from "../../hal/format/json.ts";
import { check } from "../../hal/format/schema.ts";
import type { DurableFiles } from "../../hal/ports.ts";
import { targetNameSchema } from "../../ota/trust/format/index.ts";

/** A payload whose target was verified, with where it came from. */
export interface StoredPayload {
  readonly target: string;
  readonly counter: number;
  /** SHA-256 of the payload, hex. */
  readonly digest: string;
  readonly bytes: Uint8Array;
}

const ENVELOPE_BYTES = 1024;

const keptSchema = v.strictObject({
  v: v.literal(1),
  target: targetNameSchema,
  counter: v.pipe(v.number(), v.safeInteger(), v.minValue(1)),
  digest: v.string(),
  payload: v.pipe(v.string(), v.base64("expected base64")),
});

/** The trust store has `*.json` in the same directory, with names that the repository chooses. */
export function storedName(line: string): string {
  return `${line}.taken`;
}

/**
 * @param payloadBytesMax of the payload.
 * @returns undefined when none was taken yet.
 * @throws Fault `trust.mismatch` when it is not what was taken; `json.*`, `schema.invalid` and those of {@link DurableFiles.get}.
 */
export async function readStored(files: DurableFiles, line: string, payloadBytesMax: number): Promise<StoredPayload | undefined> {
  const bytesMax = 4 * Math.ceil(payloadBytesMax / 3) + ENVELOPE_BYTES;
  const bytes = await files.get(storedName(line), bytesMax);
  if (bytes === undefined) return undefined;
  const what = `"${line}" that was taken`;
  const { target, counter, digest, payload } = check(keptSchema, parseCanonicalJson(bytes, bytesMax, what), what);
  const decoded = Buffer.from(payload, "base64");
  if (sha256(decoded) !== digest) throw new Fault("trust.mismatch", `${what} is not what it was: its sha256 differs`);
  return { target, counter, digest, bytes: decoded };
}

/** Durable when it resolves. @throws Fault of {@link DurableFiles.put}. */
export async function writeStored(
  files: DurableFiles,
  line: string,
  { target, counter, digest, bytes }: StoredPayload,
): Promise<void> {
  const payload = Buffer.from(bytes).toString("base64");
  await files.put(storedName(line), Buffer.from(canonicalJson({ v: 1, target, counter, digest, payload })));
}

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
