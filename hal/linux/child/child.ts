// A program of ours as a child process: lines in and lines out, both bounded. It is killed together
// with everything it started. No shell is involved.
import { type ChildProcessByStdio, spawn } from "node:child_process";
import type { Readable, Writable } from "node:stream";
import { Fault } from "../../fault.ts";
import { printable } from "../../format/text.ts";
import type { ChildProgram } from "../../ports.ts";
import { CHILD_PATH, findProgram } from "../process/index.ts";
import { textLines } from "./lines.ts";

/** Lines of a child's stderr that are passed on. The rest is read and dropped. */
const ERROR_LINES_MAX = 64;
const ERROR_LINE_UNITS_MAX = 512;

export interface ChildOptions {
  /** Bytes of one line of its output, including the newline. */
  readonly lineBytesMax: number;
  /** Added to PATH and LC_ALL=C, which are all it gets of our environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Called for each line of its stderr, for the journal. */
  readonly onErrorLine: (line: string) => void;
}

type Child = ChildProcessByStdio<Writable, Readable, Readable>;

/**
 * Starts `program`. It ends by itself when this process is gone, because its standard input ends
 * then.
 * @throws Fault `process.failed` when it cannot be started.
 */
export async function startChild(program: string, args: readonly string[], options: ChildOptions): Promise<ChildProgram> {
  const { lineBytesMax, env = {}, onErrorLine } = options;
  const child = spawn(findProgram(program), [...args], {
    cwd: "/",
    env: { PATH: CHILD_PATH, LC_ALL: "C", ...env },
    // a process group of its own, setsid(2), so that the kill reaches what it started
    detached: true,
    stdio: ["pipe", "pipe", "pipe"],
  });
  const ended = endOf(child);
  child.stdin.on("error", () => undefined); // EPIPE: the writer gets it too
  forwardErrorLines(child.stderr, onErrorLine);
  await started(child, program);
  const kill = async (): Promise<void> => {
    killGroup(child);
    await ended;
  };
  return {
    lines: linesOf(child, program, lineBytesMax, kill),
    ended,
    tell: (line) => writeLine(child, program, line),
    kill,
  };
}

function started(child: Child, program: string): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once("spawn", resolve);
    child.once("error", (cause) => reject(new Fault("process.failed", `start "${program}": ${cause.message}`, { cause })));
  });
}

function endOf(child: Child): Promise<string> {
  return new Promise((resolve) => {
    child.once("exit", (code, signal) => resolve(signal ?? `code ${code}`));
    child.once("error", (error) => resolve(error.message)); // it never ran
  });
}

async function* linesOf(child: Child, program: string, lineBytesMax: number, kill: () => Promise<void>): AsyncGenerator<string> {
  try {
    yield* textLines(child.stdout, lineBytesMax);
  } catch (error) {
    await kill();
    if (error instanceof Fault) throw new Fault("process.failed", `read from "${program}": ${error.message}`, { cause: error });
    // Otherwise the pipe broke because the program ended.
  }
}

function writeLine(child: Child, program: string, line: string): Promise<void> {
  return new Promise((resolve, reject) => {
    child.stdin.write(`${line}\n`, (cause) => {
      if (cause === null || cause === undefined) resolve();
      else reject(new Fault("process.failed", `write to "${program}": ${cause.message}`, { cause }));
    });
  });
}

/**
 * Reads stderr to its end even when no more lines are forwarded: a full pipe would block the
 * program.
 */
function forwardErrorLines(stderr: Readable, onErrorLine: (line: string) => void): void {
  let left = ERROR_LINES_MAX;
  stderr.setEncoding("utf8");
  stderr.on("error", () => undefined);
  stderr.on("data", (text: string) => {
    for (const line of text.split("\n").filter((part) => part !== ""))
      if (left-- > 0) onErrorLine(printable(line, ERROR_LINE_UNITS_MAX));
  });
}

/** kill(2) with a negative pid reaches the whole group. ESRCH means that it is already gone. */
function killGroup(child: Child): void {
  // its pid may then belong to another process
  const hasEnded = child.exitCode !== null || child.signalCode !== null;
  if (child.pid === undefined || hasEnded) return;
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}
