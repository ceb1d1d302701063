// Files of the hub's state directory: private (0600), and replaced by the device's durable write.
import { chmodSync, closeSync, lstatSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { asFault, Fault } from "../../hal/fault.ts";
import { whyNotPrivate } from "../../hal/format/key-file.ts";
import { type FileOps, makeDirectory, writeDurably } from "../../hal/linux/files/index.ts";

/** Names of the files in a state directory. */
export const STATE_FILES = {
  anchors: "hub.json",
  settings: "settings.json",
  authorityKey: "authority.key",
  authority: "authority.pem",
  serverKey: "server.key",
  server: "server.pem",
  timeKey: "time.key",
  witnessKey: "witness.key",
  store: "hub.db",
  lock: "lock.db",
  owner: "owner.pid",
  troubles: "troubles.json",
} as const;
/** The update repository that the hub serves. Unlike everything else here, it is public. */
export const REPOSITORY_DIRECTORY = "repository";
export type StateFile = (typeof STATE_FILES)[keyof typeof STATE_FILES];

/** [STA-30] */
const PRIVATE: ReadonlySet<StateFile> = new Set([
  STATE_FILES.authorityKey,
  STATE_FILES.serverKey,
  STATE_FILES.timeKey,
  STATE_FILES.witnessKey,
]);
const FILE_BYTES_MAX = 65_536;
const MODE_FILE = 0o600;
const MODE_DIRECTORY = 0o700;

/**
 * Makes the directory where it is missing, and sets its mode to 0700.
 * @throws Fault `file.write-failed`.
 */
export async function makeStateDirectory(directory: string): Promise<void> {
  try {
    await makeDirectory(directory, { mode: MODE_DIRECTORY });
    chmodSync(directory, MODE_DIRECTORY);
  } catch (error) {
    throw writeFailed(error, `make the state directory "${directory}"`);
  }
}

/**
 * Makes an empty file for SQLite, which would give a new one the umask's mode.
 * @returns its path.
 * @throws Fault `file.write-failed`.
 */
export function privateFile(directory: string, name: StateFile): string {
  const path = join(directory, name);
  try {
    closeSync(openSync(path, "a", MODE_FILE));
    return path;
  } catch (error) {
    throw asFault(error, "file.write-failed", `open "${path}"`);
  }
}

/**
 * [STA-1] Until this resolves, a crash leaves the old file or the new one, complete; after that,
 * the new one.
 * @throws Fault `file.write-failed`.
 */
export async function writeStateFile(directory: string, name: StateFile, contents: string, ops?: FileOps): Promise<void> {
  const path = join(directory, name);
  try {
    await writeDurably(path, Buffer.from(contents), { mode: MODE_FILE, ...(ops && { ops }) });
  } catch (error) {
    throw writeFailed(error, `write "${path}"`);
  }
}

/** The hub has one code for every way in which a write of its state fails. */
function writeFailed(error: unknown, action: string): Fault {
  const { message } = asFault(error, "file.write-failed", action);
  const hint = /ENOSPC|EDQUOT|no space/iu.test(message) ? "; make room on its disk" : "";
  return new Fault("file.write-failed", `${message}${hint}`, { cause: error });
}

/**
 * @returns undefined when there is no such file.
 * @throws Fault `file.not-regular`, `file.too-large`, `file.untrusted-owner`, `file.read-failed`.
 */
export function readStateFile(directory: string, name: StateFile): string | undefined {
  const path = join(directory, name);
  try {
    const status = lstatSync(path, { throwIfNoEntry: false });
    if (status === undefined) return undefined;
    if (!status.isFile()) throw new Fault("file.not-regular", `read "${path}": it is not a regular file`);
    if (status.size > FILE_BYTES_MAX)
      throw new Fault("file.too-large", `read "${path}": it has ${status.size} bytes, more than the limit of ${FILE_BYTES_MAX}`);
    const why = PRIVATE.has(name) ? whyNotPrivate(status, path, process.geteuid?.()) : undefined;
    if (why !== undefined) throw new Fault("file.untrusted-owner", `read "${path}": ${why}`);
    if ((status.mode & 0o022) !== 0)
      throw new Fault(
        "file.untrusted-owner",
        `read "${path}": others may write it (mode ${(status.mode & 0o777).toString(8)}); run chmod 600 on it if it is yours`,
      );
    return readFileSync(path, "utf8");
  } catch (error) {
    throw asFault(error, "file.read-failed", `read "${path}"`);
  }
}

/**
 * @throws Fault `hub.not-initialised` when it is missing, and the faults of {@link readStateFile}.
 */
export function requireStateFile(directory: string, name: StateFile): string {
  const contents = readStateFile(directory, name);
  if (contents === undefined)
    throw new Fault(
      "hub.not-initialised",
      `there is no "${name}" in "${directory}"; first run: sallyport-hub init --state ${directory} --name NAME --host HOST`,
    );
  return contents;
}
