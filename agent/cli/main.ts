// `sallyport`, the command for an operator at the device and for an auditor of its log. This file
// only touches the system; the pure files beside it make the decisions.
import { randomBytes } from "node:crypto";
import { closeSync, constants, existsSync, fstatSync, opendirSync, lstatSync, openSync, readSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { asFault, Fault } from "../../hal/fault.ts";
import { whyNotPrivate } from "../../hal/format/key-file.ts";
import { ignoreInspectorSignal } from "../../hal/inspector.ts";
import { codeAtEnd, CommandOutput } from "../../hal/output.ts";
import { NOTE_BYTES_MAX } from "../../warden/audit/format/index.ts";
import { askLocal } from "../local/index.ts";
import { readAnswerLine } from "./answer-line.ts";
import { runCommand } from "./run.ts";
import { type Directory, type Evidence, LOG_NAMES_MAX } from "./verify.ts";

const VERSION = "0.1.0";

/**
 * Reads a file of a log that may come from anywhere: a regular file, no link, bounded. Its owner
 * proves nothing here, the signatures do.
 * @returns undefined when there is no such file.
 */
function readRegular(path: string, bytesMax: number): Uint8Array | undefined {
  let file: number | undefined;
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const facts = fstatSync(file);
    if (!facts.isFile()) throw new Fault("file.not-regular", `read "${path}": it is not a regular file`);
    if (facts.size > bytesMax)
      throw new Fault("file.too-large", `read "${path}": it has ${facts.size} bytes, and at most ${bytesMax} are read`);
    const bytes = Buffer.alloc(facts.size);
    let length = 0;
    for (let read = -1; read !== 0 && length < bytes.byteLength; length += read)
      read = readSync(file, bytes, length, bytes.byteLength - length, length);
    return bytes.subarray(0, length);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    if (error instanceof Error && "code" in error && (error.code === "ELOOP" || error.code === "ENXIO"))
      throw new Fault("file.not-regular", `read "${path}": it is not a regular file; links are not followed`, { cause: error });
    throw asFault(error, "file.read-failed", `read "${path}"`);
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

function readExisting(path: string, bytesMax: number): Uint8Array {
  const bytes = readRegular(path, bytesMax);
  if (bytes === undefined) throw new Fault("file.read-failed", `read "${path}": there is no such file`);
  return bytes;
}

/** [STA-30] */
function readPrivate(path: string, bytesMax: number): Uint8Array {
  const facts = lstatSync(path, { throwIfNoEntry: false });
  const why = facts?.isFile() === true ? whyNotPrivate(facts, path, process.geteuid?.()) : undefined;
  if (why !== undefined) throw new Fault("file.untrusted-owner", `use the key "${path}": ${why}`);
  return readExisting(path, bytesMax);
}

function createPrivate(path: string, bytes: Uint8Array): void {
  try {
    writeFileSync(path, bytes, { flag: "wx", mode: 0o600, flush: true });
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST")
      throw new Fault("file.write-failed", `make "${path}": it exists, and is not overwritten`, { cause: error });
    throw asFault(error, "file.write-failed", `make "${path}"`);
  }
}

/** One name more than any log has shows that this is none. */
function namesIn(path: string): string[] {
  const directory = opendirSync(path);
  try {
    const names: string[] = [];
    for (let entry = directory.readSync(); entry !== null && names.length <= LOG_NAMES_MAX; entry = directory.readSync())
      names.push(entry.name);
    return names;
  } finally {
    directory.closeSync();
  }
}

function openDirectory(path: string): Directory {
  return {
    names() {
      try {
        return namesIn(path).sort();
      } catch (error) {
        throw asFault(error, "file.read-failed", `list "${path}"`);
      }
    },
    read: (name, bytesMax) => readRegular(join(path, name), bytesMax),
  };
}

function openEvidence(path: string, checkpointFiles: readonly string[]): Evidence {
  // The warden keeps the log in a directory of its own. A copy may be flat.
  const log = join(path, "audit");
  return {
    log: openDirectory(existsSync(log) ? log : path),
    state: openDirectory(path),
    checkpoints: checkpointFiles.map((file) => Buffer.from(readExisting(file, NOTE_BYTES_MAX)).toString("utf8")),
  };
}

ignoreInspectorSignal();
const outputs = { out: new CommandOutput(process.stdout), err: new CommandOutput(process.stderr) };

const code = await runCommand(process.argv.slice(2), {
  ask: (socket, request) => askLocal(socket, request),
  evidence: openEvidence,
  file: readExisting,
  privateFile: readPrivate,
  create: createPrivate,
  line: () => readAnswerLine(process.stdin),
  version: VERSION,
  id: () => `cli-${randomBytes(6).toString("hex")}`,
  out: (text) => outputs.out.write(text),
  err: (text) => outputs.err.write(text),
});
process.exitCode = await codeAtEnd("sallyport", code, outputs);
