// A program of ours as a child process: lines in, lines out, both bounded; killed with all that it started. No shell.
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
  /** Of a line it says, with the newline. */
  readonly lineBytesMax: number;
  /** Beside PATH and LC_ALL=C, which is all of our environment that it gets. */
  readonly env?: Readonly<Record<string, string>>;
  /** A line of its stderr, for the journal. */
  readonly onErrorLine: (line: string) => void;
}

type Child = ChildProcessByStdio<Writable, Readable, Readable>;

/** It ends by itself when we are gone: its standard input is then over. @throws Fault `process.failed` when it can't be started. */
export async function startChild(program: string, args: readonly string[], options: ChildOptions): Promise<ChildProgram> {
  const { lineBytesMax, env = {}, onErrorLine } = options;
  const child = spawn(await findProgram(program), [...args], {
    cwd: "/",
    env: { PATH: CHILD_PATH, LC_ALL: "C", ...env },
    detached: true, // a process group of its own, setsid(2), so that the kill reaches what it started
    stdio: ["pipe", "pipe", "pipe"],
  });
  const ended = endOf(child);
  child.stdin.on("error", () => undefined); // EPIPE: told to whoever writes
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
    if (error instanceof Fault) throw new Fault("process.failed", `listen to "${program}": ${error.message}`, { cause: error });
    // else the pipe broke, with the program
  }
}

function writeLine(child: Child, program: string, line: string): Promise<void> {
  return new Promise((resolve, reject) => {
    child.stdin.write(`${line}\n`, (cause) => {
      if (cause === null || cause === undefined) resolve();
      else reject(new Fault("process.failed", `tell "${program}": ${cause.message}`, { cause }));
    });
  });
}

/** Reads to the end, whatever is passed on: a full pipe would hold the program up. */
function forwardErrorLines(stderr: Readable, onErrorLine: (line: string) => void): void {
  let left = ERROR_LINES_MAX;
  stderr.setEncoding("utf8");
  stderr.on("error", () => undefined);
  stderr.on("data", (text: string) => {
    for (const line of text.split("\n").filter((part) => part !== ""))
      if (left-- > 0) onErrorLine(printable(line, ERROR_LINE_UNITS_MAX));
  });
}

/** kill(2) with a negative pid: the whole group. ESRCH means it is gone already. */
function killGroup(child: Child): void {
  const hasEnded = child.exitCode !== null || child.signalCode !== null; // then its number may be somebody else's
  if (child.pid === undefined || hasEnded) return;
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}
