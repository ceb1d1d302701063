// State records in files, in the envelope of format/record.ts. [STA-5]
import { Fault } from "./fault.ts";
import { decodeRecord, encodeRecord, type RecordFormat } from "./format/record.ts";
import type { JsonValue } from "./format/json.ts";
import type { DurableFiles } from "./ports.ts";

/**
 * A record that cannot be used is noted as damaged, so that the status shows it whatever its reader
 * makes of it. [STA-14]
 * @returns undefined when there is no such file.
 * @throws as {@link decodeRecord}; of `files`.
 */
export async function readRecord<T>(
  files: Pick<DurableFiles, "get" | "noteDamage">,
  name: string,
  format: RecordFormat<T>,
): Promise<T | undefined> {
  const bytes = await files.get(name, format.bytesMax);
  if (bytes === undefined) return undefined;
  try {
    return decodeRecord(bytes, format);
  } catch (error) {
    if (error instanceof Fault) files.noteDamage?.(error);
    throw error;
  }
}

/**
 * Durable when it resolves. Members of a newer program's record that this one does not know are
 * kept. Writes of a record must not overlap.
 * @throws Fault `record.newer` for a record that must not be overwritten; those of `files`.
 */
export async function writeRecord<T extends Readonly<Record<string, JsonValue | undefined>>>(
  files: Pick<DurableFiles, "get" | "put">,
  name: string,
  format: RecordFormat<T>,
  value: T,
): Promise<void> {
  await files.put(name, encodeRecord(value, format, await files.get(name, format.bytesMax)));
}
