// The queue of one message class: a log on disk that grows at one end, and is acknowledged and
// removed at the other. It takes one operation at a time; the spool ensures that.
import { isUnreadable } from "../../../hal/damaged-files.ts";
import type { AppendFiles } from "../../../hal/ports.ts";
import { ACKS_UNMARKED_MAX, READY_BYTES_MAX, SEGMENT_FILE_BYTES_MAX } from "./limits.ts";
import { encodeRecords, type SpoolEntry, messageBytes, scan } from "./record.ts";
import { endOf, isDone, newSegment, readSegments, type Segment, takeFitting } from "./segments.ts";

export interface Numbered {
  readonly number: number;
  readonly entry: SpoolEntry;
}

export interface SpoolQueueSize {
  /** Messages that are not acknowledged. */
  readonly messages: number;
  readonly bytes: number;
  /** Bytes in segments whose messages are all acknowledged. */
  readonly idleBytes: number;
}

export interface SpoolQueue {
  /**
   * Durable when it resolves.
   * @throws Fault as {@link AppendFiles.append}. What reached the disk of `entries` is then cut off
   *   before the next append.
   */
  append(entries: readonly SpoolEntry[]): Promise<void>;
  /** @returns the oldest message that was not handed out since the start or the last rewind. */
  next(): Promise<Numbered | undefined>;
  /**
   * As {@link next}, from memory only, so that a sender need not queue behind a write. It may be
   * called while another operation runs: only what is durable is in memory.
   * @returns "on-disk" when the message has to be read first, with {@link next}.
   */
  nextReady(): Numbered | "on-disk" | undefined;
  /**
   * Acknowledges in memory; {@link settle} makes it durable.
   * @returns whether {@link settle} has something to do.
   */
  acknowledge(number: number): boolean;
  /** Messages that were handed out and not acknowledged will be handed out again. */
  rewind(): void;
  /**
   * Removes segments whose messages are all acknowledged. Writes the position reached when a crash
   * would forget many acknowledgements, or when `all` demands it.
   */
  settle(all: boolean): Promise<void>;
  /**
   * Removes the oldest segment.
   * @returns how many unacknowledged messages it held; undefined when there is no segment.
   */
  dropOldest(): Promise<number | undefined>;
  size(): SpoolQueueSize;
  /** {@link size}'s bytes, at no cost. */
  bytes(): number;
}

/** @throws Fault of `files`. */
export async function openSpoolQueue(options: SpoolQueueOptions): Promise<SpoolQueue> {
  const { segments, cursor } = await readSegments(options.files, options.prefix, options.onDamage);
  const queue = new SegmentQueue(options, segments, cursor);
  await isDone(queue.settle(false));
  return queue;
}

export interface SpoolQueueOptions {
  readonly files: AppendFiles;
  /** Names of segments begin with it. */
  readonly prefix: string;
  readonly segmentBytesMax: number;
  /** Called with the number of messages that were given up because the disk lost them. */
  readonly onDamage: (messages: number) => void;
}

class SegmentQueue implements SpoolQueue {
  readonly #files: AppendFiles;
  readonly #prefix: string;
  readonly #segmentBytesMax: number;
  readonly #onDamage: (messages: number) => void;
  readonly #segments: Segment[];
  /** The sum over all segments. */
  #bytes: number;
  /** Number of the first message that is not acknowledged. */
  #cursor: number;
  /** Number of the next message to hand out. */
  #reading: number;
  /** The position that the last mark on disk holds. */
  #marked: number;
  #acksUnmarked = 0;
  /** Acknowledged numbers beyond the cursor. */
  readonly #ackedAhead = new Set<number>();
  /** Messages read or written last, in memory for {@link next}. */
  #ready: Numbered[] = [];
  #readyBytes = 0;

  constructor({ files, prefix, segmentBytesMax, onDamage }: SpoolQueueOptions, segments: Segment[], marked: number) {
    this.#files = files;
    this.#prefix = prefix;
    this.#segmentBytesMax = segmentBytesMax;
    this.#onDamage = onDamage;
    this.#segments = segments;
    this.#bytes = segments.reduce((sum, segment) => sum + segment.bytes, 0);
    this.#cursor = Math.max(marked, segments[0]?.first ?? 0);
    this.#reading = this.#cursor;
    this.#marked = marked;
  }

  async append(entries: readonly SpoolEntry[]): Promise<void> {
    let rest = entries;
    for (let oldest = rest[0]; oldest !== undefined; oldest = rest[0]) {
      const segment = await this.#segmentFor(oldest);
      const batch = takeFitting(rest, this.#segmentBytesMax - segment.bytes);
      const first = endOf(segment);
      const reached = this.#cursor;
      const records = encodeRecords(batch, reached > this.#marked ? reached : undefined);
      await this.#write(segment, records, batch.length);
      this.#noteMark(reached);
      this.#keepReady(first, batch);
      rest = rest.slice(batch.length);
    }
  }

  async next(): Promise<Numbered | undefined> {
    for (;;) {
      const message = this.nextReady();
      if (message !== "on-disk") return message;
      const segment = this.#unread();
      if (segment !== undefined) await this.#load(segment);
    }
  }

  nextReady(): Numbered | "on-disk" | undefined {
    for (let message = this.#ready.shift(); message !== undefined; message = this.#ready.shift()) {
      this.#readyBytes -= messageBytes(message.entry);
      this.#reading = message.number + 1;
      if (message.number >= this.#cursor && !this.#ackedAhead.has(message.number)) return message;
    }
    return this.#unread() === undefined ? undefined : "on-disk";
  }

  acknowledge(number: number): boolean {
    if (number < this.#cursor || this.#ackedAhead.has(number)) return false;
    this.#acksUnmarked += 1;
    if (number === this.#cursor) this.#cursor += 1;
    else this.#ackedAhead.add(number);
    this.#advance();
    return this.#isSettleDue();
  }

  rewind(): void {
    this.#clearReady();
    this.#reading = this.#cursor;
  }

  async settle(all: boolean): Promise<void> {
    for (const segment of this.#segments.slice(0, -1)) if (endOf(segment) <= this.#cursor) await this.#remove(segment);
    const last = this.#segments.at(-1);
    if (last === undefined || this.#cursor <= this.#marked || !(all || this.#isMarkDue())) return;
    const reached = this.#cursor;
    await this.#write(last, encodeRecords([], reached), 0);
    this.#noteMark(reached);
  }

  async dropOldest(): Promise<number | undefined> {
    const oldest = this.#segments[0];
    if (oldest === undefined) return undefined;
    await this.#remove(oldest);
    let lost = 0;
    const end = endOf(oldest);
    for (let number = Math.max(oldest.first, this.#cursor); number < end; number += 1)
      if (!this.#ackedAhead.delete(number)) lost += 1;
    if (this.#reading < end) this.#clearReady();
    this.#reading = Math.max(this.#reading, end);
    this.#cursor = Math.max(this.#cursor, end);
    this.#advance();
    return lost;
  }

  bytes(): number {
    return this.#bytes;
  }

  size(): SpoolQueueSize {
    const cursor = this.#cursor;
    let messages = -this.#ackedAhead.size;
    let idleBytes = 0;
    for (const segment of this.#segments) {
      messages += Math.max(0, endOf(segment) - Math.max(segment.first, cursor));
      if (endOf(segment) <= cursor) idleBytes += segment.bytes;
    }
    return { messages, bytes: this.#bytes, idleBytes };
  }

  /**
   * Moves the cursor. Numbers between two segments were lost to damage, so nobody acknowledges
   * them.
   */
  #advance(): void {
    for (;;) {
      while (this.#ackedAhead.delete(this.#cursor)) this.#cursor += 1;
      const segment = this.#segments.find((each) => endOf(each) > this.#cursor);
      if (segment === undefined || segment.first <= this.#cursor) return;
      this.#cursor = segment.first;
    }
  }

  #isMarkDue(): boolean {
    return this.#acksUnmarked >= ACKS_UNMARKED_MAX && this.#cursor > this.#marked;
  }

  #isSettleDue(): boolean {
    const [oldest, ...younger] = this.#segments.slice(0, 2);
    return this.#isMarkDue() || (oldest !== undefined && younger.length > 0 && endOf(oldest) <= this.#cursor);
  }

  /**
   * A segment whose first append failed is empty. It may begin beyond `reading` once the segments
   * before it are gone, but there is nothing to read in it.
   */
  #unread(): Segment | undefined {
    return this.#segments.find((each) => each.count > 0 && endOf(each) > this.#reading);
  }

  #clearReady(): void {
    this.#ready = [];
    this.#readyBytes = 0;
  }

  async #remove(segment: Segment): Promise<void> {
    await this.#files.remove(segment.name);
    this.#segments.splice(this.#segments.indexOf(segment), 1);
    this.#bytes -= segment.bytes;
  }

  async #repair(segment: Segment): Promise<void> {
    if (!segment.torn) return;
    const { name, bytes } = segment;
    await (bytes === 0 ? this.#files.remove(name) : this.#files.truncate(name, bytes));
    segment.fileBytes = bytes;
    segment.torn = false;
  }

  async #write(segment: Segment, bytes: Uint8Array, count: number): Promise<void> {
    await this.#repair(segment);
    const end = segment.bytes + bytes.byteLength;
    // Zeros for the rest of the segment: what overwrites them changes no length of the file, and so
    // costs the file system no write of its own.
    const reserveBytes = end > segment.fileBytes ? Math.max(0, this.#segmentBytesMax - end) : 0;
    segment.torn = true;
    segment.fileBytes = await this.#files.write(segment.name, segment.bytes, bytes, reserveBytes);
    segment.torn = false;
    segment.bytes = end;
    this.#bytes += bytes.byteLength;
    segment.count += count;
  }

  /**
   * @returns the segment that takes `entry`. The last one is repaired first: no other may be torn.
   */
  async #segmentFor(entry: SpoolEntry): Promise<Segment> {
    const last = this.#segments.at(-1);
    if (last !== undefined) {
      await this.#repair(last);
      const fits = last.bytes === 0 || last.bytes + messageBytes(entry) <= this.#segmentBytesMax;
      if (fits && !last.closed && endOf(last) >= this.#cursor) return last;
    }
    const first = Math.max(last === undefined ? 0 : endOf(last), this.#cursor, this.#reading);
    const segment = newSegment(this.#prefix, first);
    this.#segments.push(segment);
    return segment;
  }

  /** Messages just written need not be read back when the reader has come that far. */
  #keepReady(first: number, batch: readonly SpoolEntry[]): void {
    for (const [index, entry] of batch.entries()) {
      const expected = (this.#ready.at(-1)?.number ?? this.#reading - 1) + 1;
      if (first + index !== expected || this.#readyBytes + messageBytes(entry) > READY_BYTES_MAX) return;
      this.#ready.push({ number: first + index, entry });
      this.#readyBytes += messageBytes(entry);
    }
  }

  async #load(segment: Segment): Promise<void> {
    const { items } = scan(await this.#readOrNothing(segment.name));
    let number = segment.first;
    for (const item of items) {
      if (item.kind === "mark" || number >= endOf(segment)) continue;
      if (number >= this.#reading) {
        this.#ready.push({ number, entry: item.entry });
        this.#readyBytes += messageBytes(item.entry);
      }
      number += 1;
    }
    if (this.#ready.length === 0) this.#giveUpUnread(segment);
  }

  /** A segment that the disk does not give back, such as one on a bad block, counts as empty. */
  async #readOrNothing(name: string): Promise<Uint8Array> {
    try {
      return (await this.#files.read(name, SEGMENT_FILE_BYTES_MAX)) ?? new Uint8Array();
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      return new Uint8Array();
    }
  }

  /**
   * Messages that were written and cannot be read any more must not hold up the ones behind them.
   */
  #giveUpUnread(segment: Segment): void {
    const readable = Math.max(this.#reading, segment.first);
    this.#onDamage(endOf(segment) - readable);
    segment.count = readable - segment.first;
    segment.closed = true;
    this.#advance();
  }

  #noteMark(reached: number): void {
    if (reached <= this.#marked) return;
    this.#marked = reached;
    // some may have come while the mark was written
    this.#acksUnmarked = this.#cursor - reached + this.#ackedAhead.size;
  }
}
