// Leaving files for another user of this machine. [OTA-32]
import { constants } from "node:fs";
import { chmod, mkdir, open, opendir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { HandoverWriter } from "../../ports.ts";
import { Fault } from "../../fault.ts";
import { linuxHandoverReader } from "./reader.ts";
import { isTemporary, pathOf, setAsideUnlessDirectory, temporaryPathOf, writeFault } from "../files/index.ts";

/**
 * The directory holds files on their way and is no archive. Names beyond this number are not ours.
 */
const NAMES_MAX = 10_000;

/** Everyone may read: the receiver checks what it takes, and none of it is secret. */
const MODE_FILE = 0o644;
const MODE_DIRECTORY = 0o755;

/**
 * Writes files into `directory`, which is made when it is missing. Calls for one name must not
 * overlap.
 * @param report gets the fault of something else in the directory's place, which is set aside.
 *   [STA-13]
 * @throws Fault `file.not-regular` where that is not possible; `file.no-space`, `file.read-only`,
 *   `file.write-failed`.
 */
export async function linuxHandoverWriter(
  directory: string,
  { report = () => undefined }: { readonly report?: (fault: Fault) => void } = {},
): Promise<HandoverWriter> {
  await setAsideUnlessDirectory(directory, report);
  await withWriteFault(`make "${directory}"`, async () => {
    await mkdir(directory, { recursive: true });
    await chmod(directory, MODE_DIRECTORY);
  });
  return {
    put: (name, bytes) => put(directory, name, bytes),
    remove: (name) => withWriteFault(`remove "${name}"`, () => rm(pathOf(directory, name), { force: true })),
    get: (name, bytesMax) => get(directory, name, bytesMax),
    clear: (isKept = () => false) => withWriteFault(`clear "${directory}"`, () => clear(directory, isKept)),
  };
}

/** Not synced: what a power cut takes is fetched again. */
async function put(directory: string, name: string, bytes: Uint8Array): Promise<void> {
  const path = pathOf(directory, name);
  const temporary = temporaryPathOf(directory, name);
  const { O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW } = constants;
  await withWriteFault(`write "${name}"`, async () => {
    try {
      await using file = await open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, MODE_FILE);
      await file.writeFile(bytes);
      await file.chmod(MODE_FILE);
    } catch (error) {
      // the first fault is the one to report
      await rm(temporary, { force: true }).catch(() => undefined);
      throw error;
    }
    await rename(temporary, path);
  });
}

/** What cannot be read is fetched again, which costs less than a step that fails for it. */
async function get(directory: string, name: string, bytesMax: number): Promise<Uint8Array | undefined> {
  try {
    await using handover = await linuxHandoverReader(directory);
    return await handover.take(name, bytesMax);
  } catch (error) {
    if (error instanceof Fault) return undefined;
    throw error;
  }
}

async function clear(directory: string, isKept: (name: string) => boolean): Promise<void> {
  let entries = 0;
  for await (const entry of await opendir(directory)) {
    entries += 1;
    if (entries > NAMES_MAX) break;
    if (isKept(entry.name) && !isTemporary(entry.name)) continue;
    if (entry.isFile() || isTemporary(entry.name)) await rm(join(directory, entry.name), { force: true });
  }
}

async function withWriteFault(action: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    throw writeFault(error, action);
  }
}
