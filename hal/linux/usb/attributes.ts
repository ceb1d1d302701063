// Attributes of sysfs: one value in each file.
import { constants } from "node:fs";
import { open, realpath } from "node:fs/promises";
import { basename } from "node:path";
import { Fault } from "../../fault.ts";
import { errnoOf, linuxOps, readKernelFile } from "../files/index.ts";
import { ATTRIBUTE_BYTES_MAX, DESCRIPTORS_BYTES_MAX } from "./limits.ts";

/** Hot-plugging removes folders at any moment. */
const GONE = ["ENOENT", "ENODEV", "ENOTDIR", "ENXIO"];

/**
 * @returns the value without the line end that sysfs adds; undefined when the attribute does not
 *   exist (any more).
 * @throws Fault `usb.unreadable`.
 */
export async function readAttribute(path: string): Promise<string | undefined> {
  try {
    return (await readKernelFile(path, ATTRIBUTE_BYTES_MAX))?.replace(/\n$/u, "");
  } catch (error) {
    if (error instanceof Fault && GONE.includes(errnoOf(error.cause) ?? "")) return undefined;
    throw unreadable(error, path);
  }
}

/** Reads one attribute, as {@link readAttribute} does. */
export type ReadAttribute = (path: string) => Promise<string | undefined>;

/** @returns a decimal number; undefined when there is none. */
export async function readNumber(read: ReadAttribute, path: string): Promise<number | undefined> {
  const text = await read(path);
  return text !== undefined && /^\d{1,9}$/u.test(text) ? Number(text) : undefined;
}

/** @returns undefined when the file does not exist, or is longer than any that is accepted. */
export async function readDescriptors(path: string): Promise<Uint8Array | undefined> {
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const buffer = new Uint8Array(DESCRIPTORS_BYTES_MAX + 1);
    let length = 0;
    while (length < buffer.byteLength) {
      const { bytesRead } = await file.read(buffer, length, buffer.byteLength - length, null);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    return length > DESCRIPTORS_BYTES_MAX ? undefined : buffer.slice(0, length);
  } catch (error) {
    if (GONE.includes(errnoOf(error) ?? "")) return undefined;
    throw unreadable(error, path);
  }
}

/**
 * The names in a folder; none when it does not exist.
 * @throws Fault `usb.unreadable` above `namesMax`.
 */
export async function namesIn(folder: string, namesMax: number): Promise<readonly string[]> {
  try {
    const names = await linuxOps.names(folder, namesMax);
    if (names.length > namesMax) throw new Fault("usb.unreadable", `list "${folder}": it has more than ${namesMax} entries`);
    return [...names].sort();
  } catch (error) {
    if (GONE.includes(errnoOf(error) ?? "")) return [];
    throw unreadable(error, folder);
  }
}

/** @returns the name of a link's target; undefined when there is no link. */
export async function linkedName(path: string): Promise<string | undefined> {
  try {
    return basename(await realpath(path));
  } catch (error) {
    if (GONE.includes(errnoOf(error) ?? "")) return undefined;
    throw unreadable(error, path);
  }
}

/** One write(2), as sysfs demands. The attribute must exist. Rejects with Node's errors. */
export async function writeAttribute(path: string, value: string): Promise<void> {
  await using file = await open(path, constants.O_WRONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  await file.write(value);
}

export function isGone(error: unknown): boolean {
  return GONE.includes(errnoOf(error) ?? "");
}

function unreadable(error: unknown, path: string): Fault {
  if (error instanceof Fault && error.code === "usb.unreadable") return error;
  return new Fault("usb.unreadable", `read "${path}": ${error instanceof Error ? error.message : String(error)}`, {
    cause: error,
  });
}
