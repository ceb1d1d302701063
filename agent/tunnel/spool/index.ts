// The spool: what must not be lost lies here, on disk, until the broker has acknowledged it. [TUN-6]
import type { AppendFiles, Clock } from "../../../hal/ports.ts";
import { Fault } from "../../../hal/fault.ts";
import { createMutex } from "../../../hal/mutex.ts";
import type { UpChannel } from "../format.ts";
import { type SpoolQueue, type SpoolQueueSize, openSpoolQueue } from "./queue.ts";
import { type SpoolLimits, UNWRITTEN_BYTES_MAX } from "./limits.ts";
import { type SpoolEntry, messageBytes } from "./record.ts";

export { SPOOL_LIMITS_DEFAULT, type SpoolLimits } from "./limits.ts";

/** Most precious first: sent in this order, dropped in the other. Audit records are in none: they have a log of their own. [TUN-6] */
export const SPOOL_CLASSES = ["result", "event", "telemetry"] as const;
export type SpoolClass = (typeof SPOOL_CLASSES)[number];

/** `full`: made room for others; `expired`: too old; `damaged`: the disk did not keep it; `refused`: no room for it itself, or too large for the broker. */
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
  /** The broker has it. */
  acked(): void;
  /** It will never be sent: counted like every other loss. */
  drop(): void;
}

export interface Spool {
  /**
   * Resolves when the message is durable. Calls that come together are written together.
   * @throws Fault `spool.too-large` for more than the whole bound, `spool.full` when nothing less precious is left to drop, and those of the files.
   */
  append(cls: SpoolClass, channel: UpChannel, payload: Uint8Array): Promise<void>;
  /** The next message to send: the most precious class first, in a class the oldest. @returns undefined when all were handed out. */
  next(): Promise<Spooled | undefined>;
  /** For a new connection: what was handed out and not acknowledged is handed out again. */
  rewind(): Promise<void>;
  status(): { readonly messages: number; readonly bytes: number; readonly dropped: number };
  /** Writes down what was acknowledged; nothing may be asked of the spool afterwards. */
  close(): Promise<void>;
}

export interface SpoolOptions {
  readonly files: AppendFiles;
  readonly limits: SpoolLimits;
  readonly clock: Pick<Clock, "nowMs">;
  /** Whether the wall clock can be believed: until then nothing ages. */
  readonly clockIsSane: () => boolean;
  /** Every loss, as it happens. [TUN-6] */
  readonly onDrop: (drop: Drop) => void;
  /** The disk failed where no caller waits: marks and removals, which are tried again. */
  readonly onFault: (fault: unknown) => void;
}

/** In a lane of these the oldest gives way to the newest; in the others a message once taken is never dropped for another of its kind. */
const OLDEST_GIVES_WAY: ReadonlySet<SpoolClass> = new Set(["event", "telemetry"]);

interface Pending {
  readonly cls: SpoolClass;
  readonly entry: SpoolEntry;
  readonly settle: (fault: unknown) => void;
}

/** @throws Fault of the files: a spool that cannot be read is for the caller to judge. */
export async function openSpool(options: SpoolOptions): Promise<Spool> {
  const counts = { dropped: 0 };
  const drop = (cls: SpoolClass, reason: DropReason, messages: number): void => {
    if (messages === 0) return;
    counts.dropped += messages;
    options.onDrop({ class: cls, reason, messages });
  };
  const lanes = new Map<SpoolClass, SpoolQueue>();
  for (const cls of SPOOL_CLASSES)
    lanes.set(cls, await openSpoolQueue(options.files, cls, (messages) => drop(cls, "damaged", messages)));
  return createSpool(options, lanes, drop, () => counts.dropped);
}

function createSpool(
  options: SpoolOptions,
  lanes: ReadonlyMap<SpoolClass, SpoolQueue>,
  drop: (cls: SpoolClass, reason: DropReason, messages: number) => void,
  dropped: () => number,
): Spool {
  const { limits, clock, clockIsSane } = options;
  let pending: Pending[] = [];
  let pendingBytes = 0;
  /** Lanes take one operation at a time. */
  const exclusively = createMutex();

  const total = (measure: (size: SpoolQueueSize) => number): number =>
    [...lanes.values()].reduce((sum, lane) => sum + measure(lane.size()), 0);

  /** Makes room for `bytes` of class `cls`: first what is acknowledged goes, then the least precious. @returns whether there is room. */
  async function makeRoom(cls: SpoolClass, bytes: number): Promise<boolean> {
    while (total((size) => size.bytes) + bytes > limits.bytesMax) {
      const victim = victimFor(cls);
      if (victim === undefined) return false;
      drop(victim[0], "full", (await victim[1].dropOldest()) ?? 0);
    }
    return true;
  }

  function victimFor(cls: SpoolClass): readonly [SpoolClass, SpoolQueue] | undefined {
    const leastPreciousFirst = [...lanes].reverse();
    const idle = leastPreciousFirst.find(([, lane]) => lane.size().idleBytes > 0);
    if (idle !== undefined) return idle;
    const rank = SPOOL_CLASSES.indexOf(cls);
    return leastPreciousFirst.find(([other, lane]) => {
      const below = SPOOL_CLASSES.indexOf(other) - rank;
      return (below > 0 || (below === 0 && OLDEST_GIVES_WAY.has(cls))) && lane.size().bytes > 0;
    });
  }

  /** Writes all that waits, one append a class. */
  async function flush(): Promise<void> {
    const batch = pending;
    pending = [];
    for (const [cls, lane] of lanes) {
      const mine = batch.filter((each) => each.cls === cls);
      if (mine.length > 0) await flushLane(cls, lane, mine);
    }
  }

  async function flushLane(cls: SpoolClass, lane: SpoolQueue, batch: readonly Pending[]): Promise<void> {
    const fitting: Pending[] = [];
    let bytes = 0;
    let outcome: unknown;
    try {
      for (const each of batch) {
        const needed = bytes + messageBytes(each.entry);
        if (!(await makeRoom(cls, needed))) break;
        bytes = needed;
        fitting.push(each);
      }
      if (fitting.length > 0) await lane.append(fitting.map((each) => each.entry));
    } catch (error) {
      outcome = error;
    }
    for (const each of batch) {
      pendingBytes -= messageBytes(each.entry);
      each.settle(outcome ?? (fitting.includes(each) ? undefined : full(cls)));
    }
  }

  function full(cls: SpoolClass): Fault {
    return new Fault(
      "spool.full",
      `spool a message of class "${cls}": ${limits.bytesMax} bytes are taken by what is as precious or more`,
    );
  }

  function expired(entry: SpoolEntry): boolean {
    return entry.timed && clockIsSane() && clock.nowMs() - entry.atMs > limits.ageMsMax;
  }

  async function next(): Promise<Spooled | undefined> {
    for (const [cls, lane] of lanes) {
      for (let message = await lane.next(); message !== undefined; message = await lane.next()) {
        const { number, entry } = message;
        if (!expired(entry)) return handOut(cls, lane, number, entry);
        lane.acked(number);
        drop(cls, "expired", 1);
      }
    }
    return undefined;
  }

  function handOut(cls: SpoolClass, lane: SpoolQueue, number: number, entry: SpoolEntry): Spooled {
    const acked = (): void => {
      lane.acked(number);
      exclusively(() => lane.settle(false)).catch(options.onFault);
    };
    return {
      class: cls,
      channel: entry.channel,
      payload: entry.payload,
      acked,
      drop() {
        acked();
        drop(cls, "refused", 1);
      },
    };
  }

  return {
    append(cls, channel, payload) {
      const entry: SpoolEntry = { channel, atMs: clock.nowMs(), timed: clockIsSane(), payload };
      const bytes = messageBytes(entry);
      if (bytes > limits.bytesMax) {
        const told = `spool a message of ${payload.byteLength} bytes: the spool takes ${limits.bytesMax} bytes in all`;
        return Promise.reject(new Fault("spool.too-large", told));
      }
      if (pendingBytes + bytes > UNWRITTEN_BYTES_MAX) {
        const told = `spool a message of class "${cls}": the disk is behind, ${pendingBytes} bytes wait to be written`;
        return Promise.reject(new Fault("spool.full", told));
      }
      pendingBytes += bytes;
      return new Promise((resolve, reject) => {
        const settle = (fault: unknown): void => (fault === undefined ? resolve() : reject(fault));
        pending.push({ cls, entry, settle });
        // One flush takes all that came until it runs.
        if (pending.length === 1) exclusively(flush).catch(options.onFault);
      });
    },
    next: () => exclusively(next),
    rewind: () =>
      exclusively(async () => {
        for (const lane of lanes.values()) lane.rewind();
      }),
    status: () => ({ messages: total((size) => size.messages), bytes: total((size) => size.bytes), dropped: dropped() }),
    close: () =>
      exclusively(async () => {
        for (const lane of lanes.values()) await lane.settle(true);
      }),
  };
}
