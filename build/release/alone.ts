// One command at a time in each directory: two that read the drafts and write them would lose one,
// and promise one counter twice. [STA-41]
import { realpath, stat } from "node:fs/promises";
import { Fault } from "../../hal/fault.ts";
import { type DirectoryLock, lockDirectory, makeDirectory } from "../../hal/linux/files/index.ts";

const LOCK = ".lock";
/** A `sign` checks every chunk, which takes a while. */
const WAIT_MS_MAX = 60_000;

interface Place {
  readonly directory: string;
  /** `made`: the command makes it. `read`: it changes nothing there, so it may be read-only. */
  readonly use: "change" | "made" | "read";
}

/** What a command changes, or reads as a whole. Commands that only look wait for nobody. */
export function places(command: string, [dir = "", to = ""]: readonly string[]): readonly Place[] {
  switch (command) {
    case "init":
      return [{ directory: dir, use: "made" }];
    case "publish":
      return [
        { directory: dir, use: "read" },
        { directory: to, use: "made" },
      ];
    case "answer":
    case "drafts":
    case "escrow-key":
    case "keygen":
    case "show":
      return [];
    default:
      return [{ directory: dir, use: "change" }];
  }
}

/** @throws Fault `lock.held`, `file.*`; and what `work` throws. */
export async function inLocked<T>(wanted: readonly Place[], work: () => Promise<T>): Promise<T> {
  const locks = new Map<string, DirectoryLock | undefined>();
  try {
    for (const place of wanted) {
      if (place.use === "made") await makeDirectory(place.directory);
      const directory = await realpath(place.directory).catch(() => undefined);
      // A directory that is missing has nobody in it, and the command says so. Where nothing can be
      // read, nothing is made either.
      const isMissing = directory === undefined || !(await stat(directory)).isDirectory();
      if (isMissing && place.use === "read") break;
      if (isMissing || locks.has(directory)) continue;
      locks.set(directory, take(directory, place.use));
    }
    return await work();
  } finally {
    for (const lock of locks.values()) lock?.release();
  }
}

function take(directory: string, use: Place["use"]): DirectoryLock | undefined {
  try {
    return lockDirectory(directory, LOCK, WAIT_MS_MAX);
  } catch (error) {
    if (use === "read" && error instanceof Fault && error.code.startsWith("file.")) return undefined;
    throw error;
  }
}
