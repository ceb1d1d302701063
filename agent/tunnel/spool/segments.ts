// The files of one class: what they are called, and what is in them when the spool is opened.
import type { AppendFiles } from "../../../hal/ports.ts";
import { Fault } from "../../../hal/fault.ts";
import { SEGMENT_FILE_BYTES_MAX } from "./limits.ts";
import { type SpoolEntry, messageBytes, scan } from "./record.ts";

/** Messages are numbered without gaps in a segment; its name carries the number of its first one. */
export interface Segment {
  readonly name: string;
  readonly first: number;
  count: number;
  /** That were written well. */
  bytes: number;
  /** An append failed: something may lie beyond `bytes`, to be cut before the next one. */
  torn: boolean;
  /** Damaged while we ran: nothing is appended to it any more. */
  closed: boolean;
}

const DIGITS = 16;

/** Number after the segment's last message. */
export function endOf(segment: Segment): number {
  return segment.first + segment.count;
}

export function newSegment(prefix: string, first: number): Segment {
  return { name: `${prefix}-${String(first).padStart(DIGITS, "0")}.log`, first, count: 0, bytes: 0, torn: false, closed: false };
}

/** At least one, however large: a record that is larger than a segment should be gets one of its own. */
export function takeFitting(entries: readonly SpoolEntry[], bytesMax: number): readonly SpoolEntry[] {
  let bytes = 0;
  let count = 0;
  for (const entry of entries) {
    bytes += messageBytes(entry);
    if (count > 0 && bytes > bytesMax) break;
    count += 1;
  }
  return entries.slice(0, count);
}

/**
 * Reads every segment of the class, one at a time; cuts a torn tail.
 * @returns the segments in order, and the number before which all is acknowledged, as far as that was written down. What follows a damaged record in its
 *   segment cannot be numbered and is given up: `onDamage` hears of it, as one message because nobody can tell how many they were.
 * @throws Fault of `files`.
 */
export async function readSegments(
  files: AppendFiles,
  prefix: string,
  onDamage: (messages: number) => void,
): Promise<{ readonly segments: Segment[]; readonly cursor: number }> {
  const pattern = new RegExp(`^${prefix}-(\\d{${DIGITS}})\\.log$`, "u");
  const names = (await files.list()).filter((name) => pattern.test(name)).sort();
  const segments: Segment[] = [];
  let cursor = 0;
  for (const name of names) {
    const bytes = await readOrGiveUp(files, name);
    if (bytes === undefined) {
      onDamage(1);
      continue;
    }
    const { items, goodBytes } = scan(bytes);
    if (goodBytes < bytes.byteLength) {
      await files.truncate(name, goodBytes);
      // A crash cuts the last one short; elsewhere it is damage.
      if (name !== names.at(-1)) onDamage(1);
    }
    for (const item of items) if (item.kind === "mark") cursor = Math.max(cursor, item.before);
    const segment = newSegment(prefix, Number(pattern.exec(name)?.[1]));
    segments.push({ ...segment, count: items.filter((item) => item.kind === "message").length, bytes: goodBytes });
  }
  return { segments, cursor };
}

/** A segment that is larger than we ever write is not ours any more; it must not keep the device from starting. */
async function readOrGiveUp(files: AppendFiles, name: string): Promise<Uint8Array | undefined> {
  try {
    return await files.read(name, SEGMENT_FILE_BYTES_MAX);
  } catch (error) {
    if (!(error instanceof Fault) || error.code !== "file.too-large") throw error;
    await files.remove(name);
    return undefined;
  }
}
