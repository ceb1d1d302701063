// The record of when this device received its certificates. A certificate has no time of issue, and
// its notBefore may be backdated, so the life of one counts from this moment. [ID-9]
import { createHash } from "node:crypto";
import * as v from "valibot";
import { Fault } from "../../hal/fault.ts";
import type { RecordFormat } from "../../hal/format/record.ts";
import type { DurableFiles } from "../../hal/ports.ts";
import { readRecord, writeRecord } from "../../hal/record.ts";
import { RECEIPTS_FILE_BYTES_MAX, RECEIPTS_MAX } from "./limits.ts";

const NAME = "certificate-receipts.json";

const receiptSchema = v.strictObject({
  /** SHA-256 over the PEM as it is stored. */
  certificate: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/u)),
  /** Unix milliseconds; absent when the clock could not be trusted. */
  receivedAt: v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(0))),
});
const recordSchema = v.strictObject({ v: v.literal(1), received: v.pipe(v.array(receiptSchema), v.maxLength(64)) });
type Receipts = v.InferOutput<typeof recordSchema>;

const RECEIPTS: RecordFormat<Receipts> = {
  what: "the receipts of certificates",
  version: 1,
  readable: 1,
  bytesMax: RECEIPTS_FILE_BYTES_MAX,
  schema: recordSchema,
  replaceable: true, // without the record the moments of receipt count as unknown
};

export interface CertificateReceipts {
  /** When `pem` was received, Unix milliseconds; undefined when that is not known. */
  receivedAtMs(pem: string): Promise<number | undefined>;
  /** When the newest certificate was received, one that was discarded included. */
  lastReceivedAtMs(): Promise<number | undefined>;
  /**
   * Records that `pem` was received at `atMs`, durably.
   * @returns the fault of the files. Without the record the moment counts as unknown, which costs a
   *   certificate no validity, so it is no reason to refuse one.
   */
  record(pem: string, atMs: number): Promise<Fault | undefined>;
}

export function createCertificateReceipts(files: DurableFiles): CertificateReceipts {
  return {
    async receivedAtMs(pem) {
      const { received } = await read(files);
      return received.find(({ certificate }) => certificate === hashOf(pem))?.receivedAt;
    },
    async lastReceivedAtMs() {
      const { received } = await read(files);
      const times = received.flatMap(({ receivedAt }) => (receivedAt === undefined ? [] : [receivedAt]));
      return times.length === 0 ? undefined : Math.max(...times);
    },
    async record(pem, atMs) {
      const known = await read(files);
      const others = known.received.filter(({ certificate }) => certificate !== hashOf(pem));
      const received = [...others, { certificate: hashOf(pem), receivedAt: atMs }].slice(-RECEIPTS_MAX);
      try {
        await writeRecord(files, NAME, RECEIPTS, { ...known, received });
        return undefined;
      } catch (error) {
        if (error instanceof Fault && error.code !== "assert.broken") return error;
        throw error;
      }
    },
  };
}

/** A record that is missing, damaged or of a version that is not known here says nothing. */
async function read(files: DurableFiles): Promise<Receipts> {
  try {
    const record = await readRecord(files, NAME, RECEIPTS);
    if (record !== undefined) return record;
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
  }
  return { v: 1, received: [] };
}

function hashOf(pem: string): string {
  return createHash("sha256").update(pem, "latin1").digest("hex");
}
