// The spool: messages that must not be lost stay here, on disk, until the broker has acknowledged
// them. [TUN-6]
import type { AppendFiles, Clock } from "../../../hal/ports.ts";
import { Fault } from "../../../hal/fault.ts";
import { createMutex } from "../../../hal/mutex.ts";
import type { UpChannel } from "../format.ts";
import { type Numbered, type SpoolQueue, openSpoolQueue } from "./queue.ts";
import { segmentBytesMax, type SpoolLimits, UNWRITTEN_BYTES_MAX } from "./limits.ts";
import { bootTag, type SpoolEntry, messageBytes, type Written } from "./record.ts";

/**
 * The classes of messages. They are sent in this order, and dropped in the reverse order. Audit
 * records have no class: they have a log of their own. [TUN-20]
 */
export const SPOOL_CLASSES = ["result", "event", "telemetry"] as const;
export type SpoolClass = (typeof SPOOL_CLASSES)[number];

/**
 * `full`: dropped to make room for others. `expired`: too old. `damaged`: the disk lost it.
 * `refused`: there was no room for it, or it is too large for the broker.
 */
export type DropReason = "full" | "expired" | "damaged" | "refused";

export interface Drop {
  readonly class: SpoolClass;
  readonly reason: DropReason;
  readonly messages: number;
}

export interface Spooled {
  readonly class: SpoolClass;
  readonly channel: UpChannel;
  readonly payload: Uint8Array;
  /** Must be called when the broker has acknowledged the message. */
  acknowledge(): void;
  /** Must be called when the message can never be sent. It counts as a loss. */
  drop(): void;
}

export interface Spool {
  /**
   * Resolves when the message is durable. Calls that arrive together are written together.
   * @throws Fault `spool.too-large` when the message alone exceeds the bound of the spool;
   *   `spool.full` when nothing less precious is left to drop; the faults of the files. [TUN-21]
   */
  append(cls: SpoolClass, channel: UpChannel, payload: Uint8Array): Promise<void>;
  /**
   * @param isPaused for a class of which nothing is wanted now.
   * @returns the next message to send: of the most precious class that has one, the oldest;
   *   undefined when all were handed out.
   */
  next(isPaused?: (cls: SpoolClass) => boolean): Promise<Spooled | undefined>;
  /**
   * As {@link next}, but only what is in memory, so that a sender never queues behind a write.
   * @returns "on-disk" when the next message has to be read first, with {@link next}.
   */
  nextReady(isPaused?: (cls: SpoolClass) => boolean): Spooled | "on-disk" | undefined;
  /** For a new connection: hands out once more what was handed out and not acknowledged. */
  rewind(): Promise<void>;
  status(): { readonly messages: number; readonly bytes: number; readonly dropped: number };
  /** Writes the acknowledgements to disk. The spool must not be used afterwards. */
  close(): Promise<void>;
}

export interface SpoolOptions {
  readonly files: AppendFiles;
  readonly limits: SpoolLimits;
  readonly clock: Pick<Clock, "nowMs" | "monotonicMs">;
  /** The kernel's id of this boot; undefined when it is not known. */
  readonly bootId: string | undefined;
  /** Whether the hub has set the wall clock. Only then it tells the age of a message. [TUN-73] */
  readonly clockIsSynced: () => boolean;
  /** Called for every loss as it happens. [TUN-20] */
  readonly onDrop: (drop: Drop) => void;
  /** Called when marks or removals fail on disk, where no caller waits. They are tried again. */
  readonly onFault: (fault: unknown) => void;
}

/**
 * In these classes a new message replaces the oldest when the spool is full. In the others an
 * accepted message is never dropped for another one of its class.
 */
const OLDEST_GIVES_WAY: ReadonlySet<SpoolClass> = new Set(["event", "telemetry"]);

interface Pending {
  readonly cls: SpoolClass;
  readonly entry: SpoolEntry;
  readonly settle: (fault: unknown) => void;
}

/** @throws Fault of the files. The caller decides what an unreadable spool means. */
export async function openSpool(options: SpoolOptions): Promise<Spool> {
  const losses = new LossCounter(options.onDrop);
  const queues = new Map<SpoolClass, SpoolQueue>();
  for (const cls of SPOOL_CLASSES) {
    const onDamage = (messages: number): void => losses.count(cls, "damaged", messages);
    queues.set(
      cls,
      await openSpoolQueue({
        files: options.files,
        prefix: cls,
        segmentBytesMax: segmentBytesMax(options.limits.bytesMax),
        onDamage,
      }),
    );
  }
  return new DiskSpool(options, queues, losses);
}

class LossCounter {
  readonly #onDrop: SpoolOptions["onDrop"];
  #messages = 0;

  constructor(onDrop: SpoolOptions["onDrop"]) {
    this.#onDrop = onDrop;
  }

  count(cls: SpoolClass, reason: DropReason, messages: number): void {
    if (messages === 0) return;
    this.#messages += messages;
    this.#onDrop({ class: cls, reason, messages });
  }

  total(): number {
    return this.#messages;
  }
}

class DiskSpool implements Spool {
  readonly #options: SpoolOptions;
  readonly #queues: ReadonlyMap<SpoolClass, SpoolQueue>;
  readonly #losses: LossCounter;
  /** A queue takes one operation at a time. */
  readonly #exclusively = createMutex();
  /** Accepted and not yet written. */
  #pending: Pending[] = [];
  #pendingBytes = 0;
  /** These wait for their turn to settle, so one more acknowledgement need not ask again. */
  readonly #settling = new Set<SpoolQueue>();

  /** Of this boot. */
  readonly #boot: number | undefined;

  constructor(options: SpoolOptions, queues: ReadonlyMap<SpoolClass, SpoolQueue>, losses: LossCounter) {
    this.#options = options;
    this.#boot = options.bootId === undefined ? undefined : bootTag(options.bootId);
    this.#queues = queues;
    this.#losses = losses;
  }

  append(cls: SpoolClass, channel: UpChannel, payload: Uint8Array): Promise<void> {
    const { limits, onFault } = this.#options;
    const entry: SpoolEntry = { channel, written: this.#now(), payload };
    const bytes = messageBytes(entry);
    if (bytes > limits.bytesMax) {
      const message = `spool a message of ${payload.byteLength} bytes: the spool holds ${limits.bytesMax} bytes in all`;
      return Promise.reject(new Fault("spool.too-large", message));
    }
    if (this.#pendingBytes + bytes > UNWRITTEN_BYTES_MAX) {
      const message = `spool a message of class "${cls}": the disk is behind, ${this.#pendingBytes} bytes wait to be written`;
      return Promise.reject(new Fault("spool.full", message));
    }
    this.#pendingBytes += bytes;
    return new Promise((resolve, reject) => {
      const settle = (fault: unknown): void => (fault === undefined ? resolve() : reject(fault));
      this.#pending.push({ cls, entry, settle });
      // One flush writes everything that arrives until it runs.
      if (this.#pending.length === 1) this.#exclusively(() => this.#flush()).catch(onFault);
    });
  }

  next(isPaused: (cls: SpoolClass) => boolean = () => false): Promise<Spooled | undefined> {
    return this.#exclusively(() => this.#next(isPaused));
  }

  nextReady(isPaused: (cls: SpoolClass) => boolean = () => false): Spooled | "on-disk" | undefined {
    for (const [cls, queue] of this.#queues) {
      if (isPaused(cls)) continue;
      for (let message = queue.nextReady(); message !== undefined; message = queue.nextReady()) {
        if (message === "on-disk") return message;
        const spooled = this.#handOut(cls, queue, message);
        if (spooled !== undefined) return spooled;
      }
    }
    return undefined;
  }

  rewind(): Promise<void> {
    return this.#exclusively(async () => {
      for (const queue of this.#queues.values()) queue.rewind();
    });
  }

  status(): { readonly messages: number; readonly bytes: number; readonly dropped: number } {
    return {
      messages: this.#total((queue) => queue.size().messages),
      bytes: this.#total((queue) => queue.bytes()),
      dropped: this.#losses.total(),
    };
  }

  close(): Promise<void> {
    return this.#exclusively(async () => {
      for (const queue of this.#queues.values()) await queue.settle(true);
    });
  }

  #total(measure: (queue: SpoolQueue) => number): number {
    let sum = 0;
    for (const queue of this.#queues.values()) sum += measure(queue);
    return sum;
  }

  /** Writes all pending messages, with one append for each class. */
  async #flush(): Promise<void> {
    const batch = this.#pending;
    this.#pending = [];
    for (const [cls, queue] of this.#queues) {
      const ofClass = batch.filter((each) => each.cls === cls);
      if (ofClass.length > 0) await this.#flushClass(cls, queue, ofClass);
    }
  }

  async #flushClass(cls: SpoolClass, queue: SpoolQueue, batch: readonly Pending[]): Promise<void> {
    const fitting: SpoolEntry[] = [];
    let bytes = 0;
    let fault: unknown;
    try {
      for (const { entry } of batch) {
        bytes += messageBytes(entry);
        if (this.#lacksRoom(bytes) && !(await this.#makeRoom(cls, bytes))) break;
        fitting.push(entry);
      }
      if (fitting.length > 0) await queue.append(fitting);
    } catch (error) {
      fault = error;
    }
    for (const [index, { entry, settle }] of batch.entries()) {
      this.#pendingBytes -= messageBytes(entry);
      settle(fault ?? (index < fitting.length ? undefined : this.#fullFault(cls)));
    }
  }

  /**
   * Makes room for `bytes` of class `cls`. Acknowledged segments go first, then the least precious
   * messages. @returns whether there is room.
   */
  async #makeRoom(cls: SpoolClass, bytes: number): Promise<boolean> {
    while (this.#lacksRoom(bytes)) {
      const victim = this.#victimFor(cls);
      if (victim === undefined) return false;
      this.#losses.count(victim[0], "full", (await victim[1].dropOldest()) ?? 0);
    }
    return true;
  }

  #lacksRoom(bytes: number): boolean {
    return this.#total((queue) => queue.bytes()) + bytes > this.#options.limits.bytesMax;
  }

  #victimFor(cls: SpoolClass): readonly [SpoolClass, SpoolQueue] | undefined {
    const leastPreciousFirst = [...this.#queues].reverse();
    const idle = leastPreciousFirst.find(([, queue]) => queue.size().idleBytes > 0);
    if (idle !== undefined) return idle;
    const rank = SPOOL_CLASSES.indexOf(cls);
    return leastPreciousFirst.find(([other, queue]) => {
      const below = SPOOL_CLASSES.indexOf(other) - rank;
      return (below > 0 || (below === 0 && OLDEST_GIVES_WAY.has(cls))) && queue.size().bytes > 0;
    });
  }

  #fullFault(cls: SpoolClass): Fault {
    const { bytesMax } = this.#options.limits;
    return new Fault(
      "spool.full",
      `spool a message of class "${cls}": all ${bytesMax} bytes are taken by messages of the same or a higher class`,
    );
  }

  async #next(isPaused: (cls: SpoolClass) => boolean): Promise<Spooled | undefined> {
    for (const [cls, queue] of this.#queues) {
      if (isPaused(cls)) continue;
      for (let message = await queue.next(); message !== undefined; message = await queue.next()) {
        const spooled = this.#handOut(cls, queue, message);
        if (spooled !== undefined) return spooled;
      }
    }
    return undefined;
  }

  #now(): Written {
    const { clock, clockIsSynced } = this.#options;
    if (clockIsSynced()) return { by: "hub-time", atMs: clock.nowMs() };
    return this.#boot === undefined ? { by: "unknown" } : { by: "boot", boot: this.#boot, atMs: clock.monotonicMs() };
  }

  /** [TUN-73] What no clock can tell the age of waits, within the bound in bytes. */
  #isExpired({ written }: SpoolEntry): boolean {
    const { clock, clockIsSynced, limits } = this.#options;
    switch (written.by) {
      case "hub-time":
        return clockIsSynced() && clock.nowMs() - written.atMs > limits.ageMsMax;
      case "boot":
        return written.boot === this.#boot && clock.monotonicMs() - written.atMs > limits.ageMsMax;
      case "unknown":
        return false;
    }
  }

  /** @returns undefined for a message that has expired. */
  #handOut(cls: SpoolClass, queue: SpoolQueue, { number, entry }: Numbered): Spooled | undefined {
    if (this.#isExpired(entry)) {
      this.#acknowledge(queue, number);
      this.#losses.count(cls, "expired", 1);
      return undefined;
    }
    const acknowledge = (): void => this.#acknowledge(queue, number);
    return {
      class: cls,
      channel: entry.channel,
      payload: entry.payload,
      acknowledge,
      drop: () => {
        acknowledge();
        this.#losses.count(cls, "refused", 1);
      },
    };
  }

  #acknowledge(queue: SpoolQueue, number: number): void {
    if (!queue.acknowledge(number) || this.#settling.has(queue)) return;
    this.#settling.add(queue);
    this.#exclusively(() => {
      this.#settling.delete(queue);
      return queue.settle(false);
    }).catch(this.#options.onFault);
  }
}
