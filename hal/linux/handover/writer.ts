// Leaving files for another user of this machine. [OTA-32]
import { constants } from "node:fs";
import { chmod, mkdir, open, opendir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { HandoverWriter } from "../../ports.ts";
import { isTemporary, pathOf, temporaryPathOf, writeFault } from "../files/index.ts";

/**
 * The directory holds what is on its way and is no archive. Names beyond this number are not ours.
 */
const NAMES_MAX = 10_000;

/** For all to read: what is dropped is checked by who takes it and is no secret. */
const MODE_FILE = 0o644;
const MODE_DIRECTORY = 0o755;

/** Files in `directory`, made when missing. Calls for one name are not to overlap. @throws Fault `file.no-space`, `file.read-only`, `file.write-failed`. */
export async function linuxHandoverWriter(directory: string): Promise<HandoverWriter> {
  await doing(`make "${directory}"`, async () => {
    await mkdir(directory, { recursive: true });
    await chmod(directory, MODE_DIRECTORY);
  });
  return {
    put: (name, bytes) => put(directory, name, bytes),
    remove: (name) => doing(`remove "${name}"`, () => rm(pathOf(directory, name), { force: true })),
    clear: () => doing(`clear "${directory}"`, () => clear(directory)),
  };
}

/** Not synced: what a power cut takes is fetched again. */
async function put(directory: string, name: string, bytes: Uint8Array): Promise<void> {
  const path = pathOf(directory, name);
  const temporary = temporaryPathOf(directory, name);
  const { O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW } = constants;
  await doing(`drop "${name}"`, async () => {
    try {
      await using file = await open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, MODE_FILE);
      await file.writeFile(bytes);
      await file.chmod(MODE_FILE);
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => undefined); // the first fault is the one to report
      throw error;
    }
    await rename(temporary, path);
  });
}

async function clear(directory: string): Promise<void> {
  let seen = 0;
  for await (const entry of await opendir(directory)) {
    seen += 1;
    if (seen > NAMES_MAX) break;
    if (entry.isFile() || isTemporary(entry.name)) await rm(join(directory, entry.name), { force: true });
  }
}

async function doing(action: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    throw writeFault(error, action);
  }
}
