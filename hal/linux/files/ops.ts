// The system calls through which state reaches the disk. The drivers use this port only, so that
// test/lab/fakes/crash-disk.ts can record the calls and cut the power after each of them.
import { constants } from "node:fs";
import { mkdir, open, opendir, rename, statfs, unlink } from "node:fs/promises";

/** An open file or directory: the part of Node's FileHandle that is used. */
export interface OpenFile {
  read(buffer: Uint8Array, offset: number, length: number, position: number | null): Promise<{ readonly bytesRead: number }>;
  /** At the file's own position; with `position`, there (pwrite(2)). */
  write(buffer: Uint8Array, offset: number, length: number, position?: number): Promise<{ readonly bytesWritten: number }>;
  /**
   * fsync(2): this inode's data and metadata are on the disk; a directory's data are its entries.
   */
  sync(): Promise<void>;
  /** ftruncate(2). */
  truncate(length: number): Promise<void>;
  /** fchmod(2). */
  chmod(mode: number): Promise<void>;
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

/** `flags` are those of open(2). Rejects with Node's errors, whose `code` is the errno's name. */
export interface FileOps {
  open(path: string, flags: number, mode?: number): Promise<OpenFile>;
  /** rename(2): atomic for every reader, durable only after a sync of the directory. */
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  mkdir(path: string, mode: number): Promise<void>;
  /** Stops after `namesMax` + 1 names. */
  names(path: string, namesMax: number): Promise<readonly string[]>;
  /** What a user other than root may still write to the file system of `path`, in bytes. */
  freeBytes(path: string): Promise<number>;
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
  freeBytes: async (path) => {
    const { bavail, bsize } = await statfs(path);
    return bavail * bsize;
  },
};

/** Flags of open(2) that never follow a link and never wait for the other end of a pipe. */
export const SAFE = constants.O_NOFOLLOW | constants.O_NONBLOCK;
