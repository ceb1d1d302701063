// The segment files of one class: their names, and their content when the spool is opened.
import type { AppendFiles } from "../../../hal/ports.ts";
import { isUnreadable } from "../../../hal/damaged-files.ts";
import { takesNothing } from "../../../hal/fault.ts";
import { SEGMENT_FILE_BYTES_MAX } from "./limits.ts";
import { type SpoolEntry, messageBytes, scan } from "./record.ts";

/** Messages in a segment are numbered without gaps. Its name contains the number of the first. */
export interface Segment {
  readonly name: string;
  readonly first: number;
  count: number;
  /** Length of the records that were written without a fault. */
  bytes: number;
  /** Length of the file: zeros may follow the records, and later ones overwrite them. */
  fileBytes: number;
  /** An append failed. What may lie beyond `bytes` must be cut off before the next append. */
  torn: boolean;
  /** Found damaged while the spool was open. Nothing more is appended to it. */
  closed: boolean;
}

const DIGITS = 16;

/** The number after the last message of the segment. */
export function endOf(segment: Segment): number {
  return segment.first + segment.count;
}

export function newSegment(prefix: string, first: number): Segment {
  return {
    name: `${prefix}-${String(first).padStart(DIGITS, "0")}.log`,
    first,
    count: 0,
    bytes: 0,
    fileBytes: 0,
    torn: false,
    closed: false,
  };
}

/**
 * @returns the first entries that fit into `bytesMax`, but at least one: a larger record gets a
 *   segment of its own.
 */
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
 * Reads every segment of the class, one at a time, and cuts off torn ends.
 * @returns the segments in order, and the number before which all messages are acknowledged, as far
 *   as marks on disk say so. The messages behind a damaged record in a segment cannot be numbered
 *   and are given up. `onDamage` is called for them with 1, because their number is unknown.
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
    let torn = false;
    if (goodBytes < bytes.byteLength) {
      // [STA-50] it is cut before the next append; what is good is read meanwhile
      torn = !(await isDone(files.truncate(name, goodBytes)));
      // In the last segment a crash is the cause; in any other it is damage. Zeros were room.
      if (name !== names.at(-1) && bytes.subarray(goodBytes).some((byte) => byte !== 0)) onDamage(1);
    }
    for (const item of items) if (item.kind === "mark") cursor = Math.max(cursor, item.before);
    const segment = newSegment(prefix, Number(pattern.exec(name)?.[1]));
    segments.push({
      ...segment,
      count: items.filter((item) => item.kind === "message").length,
      bytes: goodBytes,
      fileBytes: goodBytes,
      torn,
    });
  }
  return { segments, cursor };
}

/**
 * [STA-4] A segment larger than the spool ever writes, another user's, or something that is no file
 * is damaged, but must not stop the agent.
 */
async function readOrGiveUp(files: AppendFiles, name: string): Promise<Uint8Array | undefined> {
  try {
    return await files.read(name, SEGMENT_FILE_BYTES_MAX);
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    await isDone(files.remove(name));
    return undefined;
  }
}

/** @returns false where the disk takes nothing. [STA-50] */
export async function isDone(change: Promise<void>): Promise<boolean> {
  try {
    await change;
    return true;
  } catch (error) {
    if (takesNothing(error)) return false;
    throw error;
  }
}
