// Files of the hub's state directory: mode 0600, replaced whole. The device's helper for this needs the device's ports; the hub runs on a server.
import { chmodSync, closeSync, fsyncSync, lstatSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import { join } from "node:path";
import { asFault, Fault } from "../../hal/fault.ts";
import { whyNotPrivate } from "../../hal/format/key-file.ts";

/** Where things lie in a state directory. */
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
} as const;
/** The update repository, as it is served: public, unlike everything else here. */
export const REPOSITORY_DIRECTORY = "repository";
export type StateFile = (typeof STATE_FILES)[keyof typeof STATE_FILES];

/** [STA-4] */
const PRIVATE: ReadonlySet<StateFile> = new Set([
  STATE_FILES.authorityKey,
  STATE_FILES.serverKey,
  STATE_FILES.timeKey,
  STATE_FILES.witnessKey,
]);
const FILE_BYTES_MAX = 65_536;

/** Makes the directory, 0700, when it is not there. @throws Fault `file.write-failed`. */
export function makeStateDirectory(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    chmodSync(directory, 0o700);
  } catch (error) {
    throw asFault(error, "file.write-failed", `make the state directory "${directory}"`);
  }
}

/** For files that SQLite opens: it would make them with the umask's mode. @returns the path. @throws Fault `file.write-failed`. */
export function privateFile(directory: string, name: StateFile): string {
  const path = join(directory, name);
  try {
    closeSync(openSync(path, "a", 0o600));
    return path;
  } catch (error) {
    throw asFault(error, "file.write-failed", `open "${path}"`);
  }
}

/** Until it returns a crash leaves the old file or the new, whole; after that the new. [STA-1] @throws Fault `file.write-failed`. */
export function writeStateFile(directory: string, name: StateFile, contents: string): void {
  const path = join(directory, name);
  const temporary = `${path}.new`;
  try {
    const file = openSync(temporary, "w", 0o600);
    try {
      writeSync(file, contents);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
    const folder = openSync(directory, "r");
    try {
      fsyncSync(folder);
    } finally {
      closeSync(folder);
    }
  } catch (error) {
    throw asFault(error, "file.write-failed", `write "${path}"`);
  }
}

/** @returns undefined when there is no such file. @throws Fault `file.not-regular`, `file.too-large`, `file.untrusted-owner`, `file.read-failed`. */
export function readStateFile(directory: string, name: StateFile): string | undefined {
  const path = join(directory, name);
  try {
    const status = lstatSync(path, { throwIfNoEntry: false });
    if (status === undefined) return undefined;
    if (!status.isFile()) throw new Fault("file.not-regular", `read "${path}": it is not a regular file`);
    if (status.size > FILE_BYTES_MAX)
      throw new Fault("file.too-large", `read "${path}": it has ${status.size} bytes, at most ${FILE_BYTES_MAX} are expected`);
    const why = PRIVATE.has(name) ? whyNotPrivate(status, path, process.geteuid?.()) : undefined;
    if (why !== undefined) throw new Fault("file.untrusted-owner", `read "${path}": ${why}`);
    if ((status.mode & 0o022) !== 0)
      throw new Fault(
        "file.untrusted-owner",
        `read "${path}": others may write it (mode ${(status.mode & 0o777).toString(8)}); make it 0600`,
      );
    return readFileSync(path, "utf8");
  } catch (error) {
    throw asFault(error, "file.read-failed", `read "${path}"`);
  }
}

/** @throws Fault `hub.not-initialised` when it is not there, and those of {@link readStateFile}. */
export function requireStateFile(directory: string, name: StateFile): string {
  const contents = readStateFile(directory, name);
  if (contents === undefined)
    throw new Fault(
      "hub.not-initialised",
      `there is no "${name}" in "${directory}": run sallyport-hub init --state ${directory} --name NAME --host HOST first`,
    );
  return contents;
}
