// A disk that loses power as a real one does: a write stays in its cache until a flush or a forced
// write, and a cut drops or tears the rest.
// Killing QEMU alone is no power cut: what the guest never flushed would still be in this machine's
// page cache. The model is what a write-back cache may do by the NBD protocol and by SCSI and NVMe:
// after the last flush any subset of the writes may have arrived, each sector whole, in any order.
// All calls are synchronous, so that a cut falls between two of them and never into one.
// It does not show TRIM and discard (there is none); forced writes of a guest, because virtio-blk
// has none and its driver writes and flushes instead (nbd-client.ts and qemu-io try them); and a
// loss outside the disk: TPM and UEFI variables keep all that was written. The same seed repeats a
// loss only when the same writes wait, which in a running machine is chance.
import { closeSync, copyFileSync, fstatSync, ftruncateSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { asFault, assert, Fault } from "../../../hal/fault.ts";

export const SECTOR_BYTES = 512;
/** The size of a disk's own cache: above it the oldest writes go to the medium without a flush. */
const CACHE_BYTES_MAX = 64 * 1024 * 1024;

/**
 * What a cut does to the writes that were not flushed. A torn write keeps some of its sectors; the
 * same seed and the same writes give the same loss.
 */
export type Loss = { readonly kind: "drop" } | { readonly kind: "tear"; readonly seed: number };

export interface CutReport {
  /** The numbers of writes in the cache, by what became of them. */
  readonly kept: number;
  readonly torn: number;
  readonly dropped: number;
}

/** A request, reported when its bytes are in the cache and before they are durable. */
export interface DiskEvent {
  readonly kind: "write" | "forced-write" | "flush";
  readonly offset: number;
  readonly bytes: number;
  /** Of a write. */
  readonly content: Buffer;
}

export interface PowerCutDisk {
  readonly bytes: number;
  /** @returns what the machine sees: the cache over the medium. */
  read(offset: number, bytes: number): Buffer;
  /** @param forced the write is durable when the call returns (FUA). */
  write(offset: number, bytes: Uint8Array, forced?: boolean): void;
  flush(): void;
  /** Cuts the power: the cache is lost as `loss` says. The disk works again at once. */
  cut(loss: Loss): CutReport;
  /**
   * Calls `listener` at each write and flush, until the returned function is called. The listener
   * may cut the power: then the request counts as not flushed.
   */
  watch(listener: (event: DiskEvent) => void): () => void;
  /** @returns what a cut that drops the whole cache would leave. */
  durable(offset: number, bytes: number): Buffer;
  /** Writes the durable content to an image file, to look at or to start other disks from. */
  saveTo(path: string): void;
  /** Forgets everything that was written; the base image never changes. */
  close(): void;
}

interface CachedWrite {
  readonly number: number;
  readonly sector: number;
  readonly bytes: Buffer;
}

/**
 * @param basePath the image to start from; only read. Its size must be a multiple of {@link
 * SECTOR_BYTES}.
 * @param directory for a sparse file with everything that is written.
 * @throws Fault `file.read-failed` when the base image is missing or has no whole number of
 * sectors.
 */
export function openPowerCutDisk(basePath: string, directory: string): PowerCutDisk {
  return new CachedDisk(openMedium(basePath, directory));
}

class CachedDisk implements PowerCutDisk {
  readonly #medium: Medium;
  /** The newest bytes of each sector, and the number of the write that brought them. */
  readonly #cache = new Map<number, { readonly number: number; readonly bytes: Buffer }>();
  /** Sectors that a forced write has overtaken: older writes of them must not come after it. */
  readonly #overtaken = new Map<number, number>();
  readonly #listeners = new Set<(event: DiskEvent) => void>();
  /** The writes that are not on the medium, oldest first. */
  #log: CachedWrite[] = [];
  #loggedBytes = 0;
  #written = 0;
  #cuts = 0;

  constructor(medium: Medium) {
    this.#medium = medium;
  }

  get bytes(): number {
    return this.#medium.bytes;
  }

  read(offset: number, length: number): Buffer {
    this.#check(offset, length);
    const first = offset / SECTOR_BYTES;
    const found = this.#medium.read(first, length / SECTOR_BYTES);
    if (this.#cache.size > 0)
      for (let index = 0; index < length / SECTOR_BYTES; index += 1)
        this.#cache.get(first + index)?.bytes.copy(found, index * SECTOR_BYTES);
    return found;
  }

  write(offset: number, bytes: Uint8Array, forced = false): void {
    this.#check(offset, bytes.length);
    const write: CachedWrite = { number: (this.#written += 1), sector: offset / SECTOR_BYTES, bytes: Buffer.from(bytes) };
    for (let at = 0; at < bytes.length; at += SECTOR_BYTES) {
      const sector = write.bytes.subarray(at, at + SECTOR_BYTES);
      this.#cache.set(write.sector + at / SECTOR_BYTES, { number: write.number, bytes: sector });
    }
    this.#log.push(write);
    this.#loggedBytes += bytes.length;
    const kind = forced ? "forced-write" : "write";
    if (!this.#notify({ kind, offset, bytes: bytes.length, content: write.bytes })) return;
    if (forced) this.#force(write);
    this.#shrink();
  }

  flush(): void {
    if (!this.#notify({ kind: "flush", offset: 0, bytes: 0, content: Buffer.alloc(0) })) return;
    for (const write of this.#log) this.#destage(write, () => true);
    this.#empty();
  }

  cut(loss: Loss): CutReport {
    this.#cuts += 1;
    const report = { kept: 0, torn: 0, dropped: 0 };
    const random = loss.kind === "tear" ? seeded(loss.seed) : undefined;
    for (const write of this.#log) {
      const fate = random === undefined ? "dropped" : fateOf(random());
      report[fate] += 1;
      if (fate === "kept") this.#destage(write, () => true);
      if (fate === "torn" && random !== undefined) this.#destage(write, tornBy(write, random));
    }
    this.#empty();
    return report;
  }

  watch(listener: (event: DiskEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  durable(offset: number, length: number): Buffer {
    this.#check(offset, length);
    return this.#medium.read(offset / SECTOR_BYTES, length / SECTOR_BYTES);
  }

  saveTo(path: string): void {
    this.#medium.saveTo(path);
  }

  close(): void {
    this.#empty();
    this.#medium.close();
  }

  /** @returns false when a listener has cut the power: the request is not carried out then. */
  #notify(event: DiskEvent): boolean {
    const before = this.#cuts;
    for (const listener of this.#listeners) listener(event);
    return this.#cuts === before;
  }

  /** Puts the newest write on the medium. */
  #force(write: CachedWrite): void {
    this.#destage(write, () => true);
    for (let at = 0; at < write.bytes.length / SECTOR_BYTES; at += 1) this.#overtaken.set(write.sector + at, write.number);
    this.#log.pop();
    this.#settle(write);
  }

  /** Writes sectors of a cached write to the medium. @param keep chooses them. */
  #destage(write: CachedWrite, keep: (sector: number) => boolean): void {
    const count = write.bytes.length / SECTOR_BYTES;
    const wanted = (index: number): boolean =>
      index < count && (this.#overtaken.get(write.sector + index) ?? 0) <= write.number && keep(write.sector + index);
    for (let index = 0; index < count; index += 1) {
      if (!wanted(index)) continue;
      const first = index;
      while (wanted(index + 1)) index += 1;
      this.#medium.write(write.sector + first, write.bytes.subarray(first * SECTOR_BYTES, (index + 1) * SECTOR_BYTES));
    }
  }

  /** Removes a write that is on the medium from the cache. */
  #settle(write: CachedWrite): void {
    this.#loggedBytes -= write.bytes.length;
    for (let index = 0; index < write.bytes.length / SECTOR_BYTES; index += 1)
      if (this.#cache.get(write.sector + index)?.number === write.number) this.#cache.delete(write.sector + index);
  }

  /** Writes the oldest writes to the medium until the cache is within its bound. */
  #shrink(): void {
    let done = 0;
    for (const oldest of this.#log) {
      if (this.#loggedBytes <= CACHE_BYTES_MAX) break;
      this.#destage(oldest, () => true);
      this.#settle(oldest);
      done += 1;
    }
    if (done > 0) this.#log = this.#log.slice(done);
  }

  #empty(): void {
    this.#log = [];
    this.#loggedBytes = 0;
    this.#cache.clear();
    this.#overtaken.clear();
  }

  #check(offset: number, length: number): void {
    const aligned = offset % SECTOR_BYTES === 0 && length % SECTOR_BYTES === 0;
    assert(aligned && offset >= 0 && offset + length <= this.bytes, "the server asks for whole sectors within the disk");
  }
}

function fateOf(chance: number): "kept" | "torn" | "dropped" {
  if (chance < 1 / 3) return "kept";
  return chance < 2 / 3 ? "torn" : "dropped";
}

/**
 * @returns whether a sector of `write` survives. It is decided once for each sector, in order, so
 * that the loss depends on the seed alone.
 */
function tornBy(write: CachedWrite, random: () => number): (sector: number) => boolean {
  const survives = Array.from({ length: write.bytes.length / SECTOR_BYTES }, () => random() < 0.5);
  return (sector) => survives[sector - write.sector] === true;
}

/** Numbers in [0, 1): mulberry32, public domain. */
function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d_2b_79_f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Medium {
  readonly bytes: number;
  read(sector: number, sectors: number): Buffer;
  write(sector: number, bytes: Uint8Array): void;
  saveTo(path: string): void;
  close(): void;
}

/** The base image, and over it a sparse file with the sectors that were written. */
function openMedium(basePath: string, directory: string): Medium {
  const overPath = join(directory, "written.img");
  const base = openBase(basePath);
  const { size } = fstatSync(base);
  if (size === 0 || size % SECTOR_BYTES !== 0) {
    closeSync(base);
    throw new Fault("file.read-failed", `image "${basePath}" has ${size} bytes, expected a multiple of ${SECTOR_BYTES}`);
  }
  const over = openSync(overPath, "wx+", 0o600);
  ftruncateSync(over, size);
  const isOver = new Uint8Array(size / SECTOR_BYTES);
  /** Runs of sectors that lie in the same file. */
  const runs = function* (sector: number, sectors: number): Generator<{ at: number; count: number; over: boolean }> {
    for (let at = sector; at < sector + sectors;) {
      const kind = isOver[at];
      let count = 1;
      while (at + count < sector + sectors && isOver[at + count] === kind) count += 1;
      yield { at, count, over: kind === 1 };
      at += count;
    }
  };
  return {
    bytes: size,
    read(sector, sectors) {
      const found = Buffer.alloc(sectors * SECTOR_BYTES);
      for (const run of runs(sector, sectors)) {
        const length = run.count * SECTOR_BYTES;
        const got = readSync(run.over ? over : base, found, (run.at - sector) * SECTOR_BYTES, length, run.at * SECTOR_BYTES);
        assert(got === length, "an image is as long as it was when opened");
      }
      return found;
    },
    write(sector, bytes) {
      const put = writeSync(over, bytes, 0, bytes.length, sector * SECTOR_BYTES);
      if (put !== bytes.length) throw new Fault("file.write-failed", `wrote ${put} of ${bytes.length} bytes to "${overPath}"`);
      isOver.fill(1, sector, sector + bytes.length / SECTOR_BYTES);
    },
    saveTo(path) {
      copyFileSync(basePath, path);
      const copy = openSync(path, "r+");
      try {
        for (const run of runs(0, isOver.length))
          if (run.over) copyRun(over, copy, run.at * SECTOR_BYTES, run.count * SECTOR_BYTES);
      } finally {
        closeSync(copy);
      }
    },
    close() {
      closeSync(base);
      closeSync(over);
      rmSync(overPath, { force: true });
    },
  };
}

function openBase(path: string): number {
  try {
    return openSync(path, "r");
  } catch (error) {
    throw asFault(error, "file.read-failed", `open image "${path}"`);
  }
}

function copyRun(from: number, to: number, offset: number, length: number): void {
  const piece = Buffer.alloc(Math.min(length, 1024 * 1024));
  for (let at = offset; at < offset + length;) {
    const got = readSync(from, piece, 0, Math.min(piece.length, offset + length - at), at);
    assert(got > 0, "the sparse file is as long as the image");
    writeSync(to, piece, 0, got, at);
    at += got;
  }
}
