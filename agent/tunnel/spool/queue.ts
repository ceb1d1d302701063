// The log of one class: appended to at one end, acknowledged and removed at the other. One operation at a time: the spool sees to that.
import type { AppendFiles } from "../../../hal/ports.ts";
import { ACKS_UNMARKED_MAX, READY_BYTES_MAX, SEGMENT_BYTES_MAX, SEGMENT_FILE_BYTES_MAX } from "./limits.ts";
import { encodeMark, encodeMessage, type SpoolEntry, messageBytes, scan } from "./record.ts";
import { endOf, newSegment, readSegments, type Segment, takeFitting } from "./segments.ts";

export interface Numbered {
  readonly number: number;
  readonly entry: SpoolEntry;
}

export interface SpoolQueueSize {
  /** Not acknowledged. */
  readonly messages: number;
  readonly bytes: number;
  /** Bytes in segments that are acknowledged as a whole. */
  readonly idleBytes: number;
}

export interface SpoolQueue {
  /** Durable when it resolves. @throws Fault as {@link AppendFiles.append}; what of `entries` reached the disk then is cut before the next append. */
  append(entries: readonly SpoolEntry[]): Promise<void>;
  /** @returns the oldest message that was not handed out since the start or the last rewind. */
  next(): Promise<Numbered | undefined>;
  /** In memory; {@link settle} makes it last. */
  acked(number: number): void;
  /** What was handed out and not acknowledged will be handed out again. */
  rewind(): void;
  /** Removes segments that are acknowledged as a whole; writes the place reached once many acknowledgements would be forgotten, or when `all` asks for it. */
  settle(all: boolean): Promise<void>;
  /** Removes the oldest segment. @returns how many unacknowledged messages went with it; undefined when there is none. */
  dropOldest(): Promise<number | undefined>;
  size(): SpoolQueueSize;
}

/**
 * @param onDamage hears how many messages were given up because the disk did not keep them.
 * @throws Fault of `files`.
 */
export async function openSpoolQueue(
  files: AppendFiles,
  prefix: string,
  onDamage: (messages: number) => void,
): Promise<SpoolQueue> {
  const { segments, cursor } = await readSegments(files, prefix, onDamage);
  const lane = createLane(files, prefix, onDamage, segments, cursor);
  await lane.settle(false);
  return lane;
}

function createLane(
  files: AppendFiles,
  prefix: string,
  onDamage: (messages: number) => void,
  segments: Segment[],
  marked: number,
): SpoolQueue {
  /** First number that is not acknowledged; first to hand out next; up to where the place reached is written down. */
  let cursor = Math.max(marked, segments[0]?.first ?? 0);
  let reading = cursor;
  let written = marked;
  let unmarked = 0;
  const ackedAhead = new Set<number>();
  let ready: Numbered[] = [];
  let readyBytes = 0;

  /** Numbers between two segments were lost to damage: nobody will acknowledge them. */
  function advance(): void {
    for (;;) {
      while (ackedAhead.delete(cursor)) cursor += 1;
      const segment = segments.find((each) => endOf(each) > cursor);
      if (segment === undefined || segment.first <= cursor) return;
      cursor = segment.first;
    }
  }

  function forgetReady(): void {
    ready = [];
    readyBytes = 0;
  }

  async function remove(segment: Segment): Promise<void> {
    await files.remove(segment.name);
    segments.splice(segments.indexOf(segment), 1);
  }

  async function repair(segment: Segment): Promise<void> {
    if (!segment.torn) return;
    await (segment.bytes === 0 ? files.remove(segment.name) : files.truncate(segment.name, segment.bytes));
    segment.torn = false;
  }

  async function write(segment: Segment, bytes: Uint8Array, count: number): Promise<void> {
    await repair(segment);
    segment.torn = true;
    await files.append(segment.name, bytes);
    segment.torn = false;
    segment.bytes += bytes.byteLength;
    segment.count += count;
  }

  /** The segment that takes `entry`. The old one is repaired first: only the last segment may ever be torn. */
  async function segmentFor(entry: SpoolEntry): Promise<Segment> {
    const last = segments.at(-1);
    if (last !== undefined) {
      await repair(last);
      const fits = last.bytes === 0 || last.bytes + messageBytes(entry) <= SEGMENT_BYTES_MAX;
      if (fits && !last.closed && endOf(last) >= cursor) return last;
    }
    const segment = newSegment(prefix, Math.max(last === undefined ? 0 : endOf(last), cursor, reading));
    segments.push(segment);
    return segment;
  }

  async function append(entries: readonly SpoolEntry[]): Promise<void> {
    let rest = entries;
    for (let oldest = rest[0]; oldest !== undefined; oldest = rest[0]) {
      const segment = await segmentFor(oldest);
      const batch = takeFitting(rest, SEGMENT_BYTES_MAX - segment.bytes);
      const first = endOf(segment);
      const reached = cursor;
      const mark = reached > written ? [encodeMark(reached)] : [];
      await write(segment, Buffer.concat([...mark, ...batch.map((entry) => encodeMessage(entry))]), batch.length);
      noteMark(reached);
      keepReady(first, batch);
      rest = rest.slice(batch.length);
    }
  }

  /** What was just written need not be read back, if the reader is that far. */
  function keepReady(first: number, batch: readonly SpoolEntry[]): void {
    for (const [index, entry] of batch.entries()) {
      const expected = (ready.at(-1)?.number ?? reading - 1) + 1;
      if (first + index !== expected || readyBytes + messageBytes(entry) > READY_BYTES_MAX) return;
      ready.push({ number: first + index, entry });
      readyBytes += messageBytes(entry);
    }
  }

  async function next(): Promise<Numbered | undefined> {
    for (;;) {
      const message = ready.shift();
      if (message !== undefined) {
        readyBytes -= messageBytes(message.entry);
        reading = message.number + 1;
        if (message.number >= cursor && !ackedAhead.has(message.number)) return message;
        continue;
      }
      // One whose first append failed is empty, and may begin beyond `reading` once those before it are gone: nothing is to be had there.
      const segment = segments.find((each) => each.count > 0 && endOf(each) > reading);
      if (segment === undefined) return undefined;
      await load(segment);
    }
  }

  async function load(segment: Segment): Promise<void> {
    const { items } = scan((await files.read(segment.name, SEGMENT_FILE_BYTES_MAX)) ?? new Uint8Array());
    let number = segment.first;
    for (const item of items) {
      if (item.kind === "mark" || number >= endOf(segment)) continue;
      if (number >= reading) {
        ready.push({ number, entry: item.entry });
        readyBytes += messageBytes(item.entry);
      }
      number += 1;
    }
    if (ready.length > 0) return;
    // Written well, and not there any more: what cannot be read must not hold up what can.
    const kept = Math.max(reading, segment.first);
    onDamage(endOf(segment) - kept);
    segment.count = kept - segment.first;
    segment.closed = true;
    advance();
  }

  function noteMark(reached: number): void {
    if (reached <= written) return;
    written = reached;
    unmarked = 0;
  }

  async function settle(all: boolean): Promise<void> {
    for (const segment of segments.slice(0, -1)) if (endOf(segment) <= cursor) await remove(segment);
    const last = segments.at(-1);
    if (last === undefined || cursor <= written || (!all && unmarked < ACKS_UNMARKED_MAX)) return;
    const reached = cursor;
    await write(last, encodeMark(reached), 0);
    noteMark(reached);
  }

  async function dropOldest(): Promise<number | undefined> {
    const oldest = segments[0];
    if (oldest === undefined) return undefined;
    await remove(oldest);
    let lost = 0;
    const end = endOf(oldest);
    for (let number = Math.max(oldest.first, cursor); number < end; number += 1) if (!ackedAhead.delete(number)) lost += 1;
    if (reading < end) forgetReady();
    reading = Math.max(reading, end);
    cursor = Math.max(cursor, end);
    advance();
    return lost;
  }

  return {
    append,
    next,
    acked(number) {
      if (number < cursor || ackedAhead.has(number)) return;
      ackedAhead.add(number);
      unmarked += 1;
      advance();
    },
    rewind() {
      forgetReady();
      reading = cursor;
    },
    settle,
    dropOldest,
    size() {
      let messages = -ackedAhead.size;
      let bytes = 0;
      let idleBytes = 0;
      for (const segment of segments) {
        messages += Math.max(0, endOf(segment) - Math.max(segment.first, cursor));
        bytes += segment.bytes;
        if (endOf(segment) <= cursor) idleBytes += segment.bytes;
      }
      return { messages, bytes, idleBytes };
    },
  };
}
