// `sallyport`, the command for an operator at the device and for an auditor of its log. This file
// only touches the system; the pure files beside it make the decisions.
import { randomBytes } from "node:crypto";
import { closeSync, constants, existsSync, fstatSync, openSync, readdirSync, readSync } from "node:fs";
import { join } from "node:path";
import { asFault, Fault } from "../../hal/fault.ts";
import { ignoreInspectorSignal } from "../../hal/inspector.ts";
import { codeAtEnd, CommandOutput } from "../../hal/output.ts";
import { NOTE_BYTES_MAX } from "../../warden/audit/format/index.ts";
import { askLocal } from "../local/index.ts";
import { runCommand } from "./run.ts";
import type { Directory, Evidence } from "./verify.ts";

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

/** Longer than any answer. Nothing after it is read. */
const LINE_CHARACTERS_MAX = 512;

async function readLine(): Promise<string | undefined> {
  let text = "";
  process.stdin.setEncoding("latin1");
  for await (const chunk of process.stdin) {
    text += String(chunk);
    const [first = "", rest] = text.split(/\r?\n/u, 2);
    if (rest !== undefined || text.length > LINE_CHARACTERS_MAX) return first.slice(0, LINE_CHARACTERS_MAX);
  }
  return text === "" ? undefined : text;
}

function openDirectory(path: string): Directory {
  return {
    names() {
      try {
        return readdirSync(path).sort();
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
  line: readLine,
  version: VERSION,
  id: () => `cli-${randomBytes(6).toString("hex")}`,
  out: (text) => outputs.out.write(text),
  err: (text) => outputs.err.write(text),
});
process.exitCode = await codeAtEnd("sallyport", code, outputs);
