// State records in files, in the envelope of format/record.ts. [STA-5]
import { decodeRecord, encodeRecord, type RecordFormat } from "./format/record.ts";
import type { JsonValue } from "./format/json.ts";
import type { DurableFiles } from "./ports.ts";

/** @returns undefined when there is no such file. @throws as {@link decodeRecord}; of `files`. */
export async function readRecord<T>(
  files: Pick<DurableFiles, "get">,
  name: string,
  format: RecordFormat<T>,
): Promise<T | undefined> {
  const bytes = await files.get(name, format.bytesMax);
  return bytes === undefined ? undefined : decodeRecord(bytes, format);
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
