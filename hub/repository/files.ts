// Opening a file for the path of a URL, inside the repository and nowhere else. [OTA-37]
import { constants } from "node:fs";
import { type FileHandle, open, realpath } from "node:fs/promises";
import { join, sep } from "node:path";
import { DEPTH_MAX } from "./limits.ts";

/**
 * No escape can be written with these: no leading dot, no slash, no backslash, no NUL, no percent.
 */
const SEGMENT = /^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$/;
/** Errors of open(2) and realpath(3) for a path that leads to no file of the repository. */
const NOT_THERE = ["ENOENT", "ENOTDIR", "ELOOP", "EACCES", "ENAMETOOLONG", "ENXIO"];

export interface OpenedFile {
  readonly file: FileHandle;
  readonly size: number;
  readonly modifiedMs: number;
}

/** True for a path that {@link openInside} would try to open. */
export function isServable(path: string): boolean {
  const segments = path.split("/");
  return segments.length <= DEPTH_MAX && segments.every((segment) => SEGMENT.test(segment));
}

/**
 * [OTA-37] Opens a regular file below `directory`. Links are followed only within it.
 * @param path from the URL, percent signs decoded.
 * @returns undefined when there is no such file.
 */
export async function openInside(directory: string, path: string): Promise<OpenedFile | undefined> {
  if (!isServable(path)) return undefined;
  try {
    const root = await realpath(directory);
    const real = await realpath(join(root, path));
    if (!real.startsWith(root + sep)) return undefined;
    return await opened(await open(real, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK));
  } catch (error) {
    if (error instanceof Error && "code" in error && NOT_THERE.includes(String(error.code))) return undefined;
    throw error;
  }
}

async function opened(file: FileHandle): Promise<OpenedFile | undefined> {
  const facts = await file.stat();
  if (facts.isFile()) return { file, size: facts.size, modifiedMs: facts.mtimeMs };
  await file.close();
  return undefined;
}
