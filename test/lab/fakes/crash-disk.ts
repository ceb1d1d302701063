// A disk that can lose its power. It records every change of the file drivers, and computes what a
// crash after each of them may leave.
//
// The model is the weakest that POSIX and Linux's file systems allow. Bytes that were not synced
// may be there, missing, torn at a sector, or zeros. Names that were not synced may be there or
// not, each by itself. What was synced stays.
import { constants } from "node:fs";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { Fault } from "../../../hal/fault.ts";
import { type FileOps, linuxOps, type OpenFile } from "../../../hal/linux/files/ops.ts";

const SECTOR_BYTES = 512;

/**
 * One change, in the order in which the kernel was asked. Files have numbers, because names move.
 */
export type Change =
  | { readonly kind: "create"; readonly name: string; readonly file: number }
  | { readonly kind: "write"; readonly file: number; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly kind: "truncate"; readonly file: number; readonly length: number }
  /** fsync of a file. */
  | { readonly kind: "sync"; readonly file: number }
  /** The end of an O_DSYNC write: its own bytes are on the device, earlier ones may not be. */
  | { readonly kind: "sync-write"; readonly file: number; readonly offset: number; readonly length: number }
  | { readonly kind: "rename"; readonly from: string; readonly to: string; readonly file: number }
  | { readonly kind: "unlink"; readonly name: string }
  | { readonly kind: "sync-directory" };

export type DiskState = ReadonlyMap<string, Uint8Array>;

export interface CrashDisk {
  readonly ops: FileOps;
  readonly changes: readonly Change[];
  /**
   * From the n-th change from now on nothing reaches the disk and every call fails, as if the
   * process was killed.
   */
  killAt(n: number): void;
  /**
   * A new process on the same machine: calls work again, and what was not synced is still only in
   * memory.
   */
  revive(): void;
}

/** Records the changes in `directory`, a real and at first empty one, while they are made. */
export function crashDisk(directory: string): CrashDisk {
  return new RecordedDisk(directory);
}

class RecordedDisk implements CrashDisk {
  readonly changes: Change[] = [];
  readonly ops: FileOps;
  readonly #directory: string;
  /** The numbers of the files, by name. */
  readonly #files = new Map<string, number>();
  #made = 0;
  #killAt = Number.POSITIVE_INFINITY;

  constructor(directory: string) {
    this.#directory = directory;
    this.ops = {
      open: (path, flags, mode) => this.#open(path, flags, mode),
      rename: (from, to) => this.#rename(from, to),
      unlink: (path) => this.#unlink(path),
      mkdir: (path, mode) => linuxOps.mkdir(path, mode),
      names: (path, namesMax) => linuxOps.names(path, namesMax),
      freeBytes: (path) => linuxOps.freeBytes(path),
    };
  }

  killAt(n: number): void {
    this.#killAt = this.changes.length + n;
  }

  revive(): void {
    this.#killAt = Number.POSITIVE_INFINITY;
  }

  /** Called before every call that changes something. */
  #alive(): void {
    if (this.changes.length >= this.#killAt) throw new Fault("assert.broken", "the process was killed here");
  }

  async #open(path: string, flags: number, mode?: number): Promise<OpenFile> {
    if ((flags & constants.O_DIRECTORY) !== 0)
      return watchedDirectory(await linuxOps.open(path, flags), () => {
        this.#alive();
        if (path === this.#directory) this.changes.push({ kind: "sync-directory" });
      });
    const creates = (flags & constants.O_CREAT) !== 0;
    if (creates) this.#alive();
    const file = await linuxOps.open(path, flags, mode);
    const name = basename(path);
    const number = this.#files.get(name) ?? (this.#made += 1);
    if (creates && !this.#files.has(name)) this.changes.push({ kind: "create", name, file: number });
    this.#files.set(name, number);
    return this.#watched(file, number, flags);
  }

  async #rename(from: string, to: string): Promise<void> {
    this.#alive();
    await linuxOps.rename(from, to);
    const number = this.#files.get(basename(from)) ?? -1;
    this.#files.set(basename(to), number);
    this.#files.delete(basename(from));
    this.changes.push({ kind: "rename", from: basename(from), to: basename(to), file: number });
  }

  async #unlink(path: string): Promise<void> {
    this.#alive();
    await linuxOps.unlink(path);
    this.#files.delete(basename(path));
    this.changes.push({ kind: "unlink", name: basename(path) });
  }

  #watched(file: OpenFile, number: number, flags: number): OpenFile {
    return {
      read: (buffer, offset, length, position) => file.read(buffer, offset, length, position),
      chmod: (mode) => file.chmod(mode),
      stat: () => file.stat(),
      close: () => file.close(),
      write: async (buffer, offset, length, position) => {
        this.#alive();
        // without a position, our drivers write at the end only
        const at = position ?? (await file.stat()).size;
        // write(2) allows short writes, so callers must handle them: the first of several sectors
        // goes alone.
        const part = Math.min(length, length > SECTOR_BYTES ? SECTOR_BYTES : length);
        const { bytesWritten } = await file.write(buffer, offset, part, position);
        const bytes = Uint8Array.from(buffer.subarray(offset, offset + bytesWritten));
        this.changes.push({ kind: "write", file: number, offset: at, bytes });
        if ((flags & constants.O_DSYNC) !== 0) {
          this.#alive();
          this.changes.push({ kind: "sync-write", file: number, offset: at, length: bytesWritten });
        }
        return { bytesWritten };
      },
      truncate: async (length) => {
        this.#alive();
        await file.truncate(length);
        this.changes.push({ kind: "truncate", file: number, length });
      },
      sync: async () => {
        this.#alive();
        this.changes.push({ kind: "sync", file: number });
      },
    };
  }
}

function watchedDirectory(directory: OpenFile, sync: () => void): OpenFile {
  return {
    read: (buffer, offset, length, position) => directory.read(buffer, offset, length, position),
    write: (buffer, offset, length) => directory.write(buffer, offset, length),
    truncate: (length) => directory.truncate(length),
    chmod: (mode) => directory.chmod(mode),
    stat: () => directory.stat(),
    close: () => directory.close(),
    sync: async () => sync(),
  };
}

interface File {
  readonly durable: Uint8Array;
  readonly pending: readonly (Change & { readonly kind: "write" | "truncate" })[];
}

type NameChange = Change & { readonly kind: "create" | "rename" | "unlink" };

/**
 * @returns every different state that a power cut after `changes`, or during the last of them, may
 * leave.
 */
export function crashStates(changes: readonly Change[]): readonly DiskState[] {
  const files = new Map<number, File>();
  let names = new Map<string, number>();
  let pendingNames: NameChange[] = [];
  for (const change of changes) {
    switch (change.kind) {
      case "create":
      case "rename":
      case "unlink":
        pendingNames.push(change);
        break;
      case "sync-directory":
        names = pendingNames.reduce(applyName, names);
        pendingNames = [];
        break;
      default:
        files.set(change.file, applyToFile(files.get(change.file) ?? { durable: new Uint8Array(), pending: [] }, change));
    }
  }
  const states = new Map<string, DiskState>();
  for (const kept of subsets(pendingNames)) {
    for (const state of contentStates([...kept.reduce(applyName, names)], files)) states.set(stateKey(state), state);
  }
  return [...states.values()];
}

function applyToFile(file: File, change: Exclude<Change, NameChange | { kind: "sync-directory" }>): File {
  switch (change.kind) {
    case "write":
    case "truncate":
      return { durable: file.durable, pending: [...file.pending, change] };
    case "sync":
      return { durable: file.pending.reduce(applyBytes, file.durable), pending: [] };
    case "sync-write": {
      const own = file.pending.filter((one) => one.kind === "write" && one.offset === change.offset);
      return { durable: own.reduce(applyBytes, file.durable), pending: file.pending.filter((one) => !own.includes(one)) };
    }
  }
}

function applyName(names: Map<string, number>, change: NameChange): Map<string, number> {
  const next = new Map(names);
  switch (change.kind) {
    case "create":
      next.set(change.name, change.file);
      break;
    case "unlink":
      next.delete(change.name);
      break;
    case "rename": // Whether or not the name that it had before ever reached the device.
      next.delete(change.from);
      next.set(change.to, change.file);
      break;
  }
  return next;
}

function applyBytes(bytes: Uint8Array, change: Change & { readonly kind: "write" | "truncate" }): Uint8Array {
  if (change.kind === "truncate") return bytes.slice(0, change.length);
  const next = new Uint8Array(Math.max(bytes.byteLength, change.offset + change.bytes.byteLength));
  next.set(bytes);
  next.set(change.bytes, change.offset);
  return next;
}

/**
 * The possible contents of one file: each prefix of its pending changes, with the next one torn.
 */
function fileStates({ durable, pending }: File): readonly Uint8Array[] {
  const states = [durable];
  let whole = durable;
  for (const change of pending) {
    if (change.kind === "write") for (const torn of tornWrites(change)) states.push(applyBytes(whole, torn));
    // Written back before the earlier ones, which are then holes that read as zeros.
    states.push(applyBytes(durable, change));
    whole = applyBytes(whole, change);
    states.push(whole);
  }
  return states;
}

/**
 * The parts of a write that may reach the device: half a sector, all but the last byte, the size
 * without the bytes, and the end without the start.
 */
function tornWrites(change: Change & { readonly kind: "write" }): readonly (Change & { readonly kind: "write" })[] {
  const { bytes } = change;
  const half = Math.ceil(bytes.byteLength / 2);
  const holed = Uint8Array.from(bytes).fill(0, 0, half);
  return [bytes.slice(0, half), bytes.slice(0, -1), new Uint8Array(bytes.byteLength), holed].map((torn) => ({
    ...change,
    bytes: torn,
  }));
}

function contentStates(names: readonly (readonly [string, number])[], files: ReadonlyMap<number, File>): readonly DiskState[] {
  const [first, ...rest] = names;
  if (first === undefined) return [new Map()];
  const [name, number] = first;
  const others = contentStates(rest, files);
  return fileStates(files.get(number) ?? { durable: new Uint8Array(), pending: [] }).flatMap((bytes) =>
    others.map((state) => new Map([...state, [name, bytes]])),
  );
}

function subsets<T>(items: readonly T[]): readonly (readonly T[])[] {
  return items.reduce<readonly (readonly T[])[]>((all, item) => [...all, ...all.map((subset) => [...subset, item])], [[]]);
}

function stateKey(state: DiskState): string {
  return [...state]
    .map(([name, bytes]) => `${name} ${Buffer.from(bytes).toString("base64")}`)
    .sort((a, b) => (a < b ? -1 : 1))
    .join("\n");
}

/** Makes `directory` hold `state` and nothing else, as after the power came back. */
export function restore(state: DiskState, directory: string): void {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  for (const [name, bytes] of state) writeFileSync(join(directory, name), bytes, { mode: 0o600 });
}
