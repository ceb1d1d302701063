// Every call through which state reaches the disk. The drivers go through this port only, so that test/lab/fakes/crash-disk.ts can record the calls and cut the
// power after each of them.
import { constants } from "node:fs";
import { mkdir, open, opendir, rename, unlink } from "node:fs/promises";

/** An open file or directory: the part of Node's FileHandle in use. */
export interface OpenFile {
  read(buffer: Uint8Array, offset: number, length: number, position: number | null): Promise<{ readonly bytesRead: number }>;
  write(buffer: Uint8Array, offset: number, length: number): Promise<{ readonly bytesWritten: number }>;
  /** fsync(2): data and metadata of this inode are on the device; a directory's are its entries. */
  sync(): Promise<void>;
  /** ftruncate(2). */
  truncate(length: number): Promise<void>;
  stat(): Promise<FileFacts>;
  close(): Promise<void>;
}

export interface FileFacts {
  readonly uid: number;
  readonly mode: number;
  readonly size: number;
  isFile(): boolean;
  isDirectory(): boolean;
}

/** Paths are absolute, `flags` those of open(2). Rejects with Node's errors (`code` is the errno's name). */
export interface FileOps {
  open(path: string, flags: number, mode?: number): Promise<OpenFile>;
  /** rename(2): atomic for who looks, durable only after a sync of the directory. */
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  mkdir(path: string, mode: number): Promise<void>;
  /** Stops after `namesMax` + 1 names. */
  names(path: string, namesMax: number): Promise<readonly string[]>;
}

export const linuxOps: FileOps = {
  open: (path, flags, mode) => open(path, flags, mode),
  rename,
  unlink,
  mkdir: async (path, mode) => {
    await mkdir(path, { mode });
  },
  names: async (path, namesMax) => {
    const names: string[] = [];
    for await (const entry of await opendir(path)) {
      names.push(entry.name);
      if (names.length > namesMax) break;
    }
    return names;
  },
};

/** Never follows a link, never waits for the other end of a pipe. */
export const SAFE = constants.O_NOFOLLOW | constants.O_NONBLOCK;
