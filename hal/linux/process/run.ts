// One child process, bounded in time and in output. There is no shell: the program gets its
// arguments unchanged.
import { type ChildProcess, spawn } from "node:child_process";
import type { Readable } from "node:stream";
import { Fault } from "../../fault.ts";
import { ByteCollector } from "../../format/collect.ts";
import { singleLine } from "../../format/text.ts";
import { CHILD_PATH, findProgram } from "./find.ts";

/** The part of a program's error output that goes into a fault's message. */
const ERROR_TEXT_UNITS_MAX = 300;

export interface RunOptions {
  /** After this time the program and its process group are killed. */
  readonly timeoutMs: number;
  /** Bound of stdout and of stderr, each. */
  readonly outputBytesMax: number;
  /**
   * Replaces the whole environment. The default is PATH and LC_ALL=C only, so that nothing of ours
   * leaks and messages are in English.
   */
  readonly env?: Readonly<Record<string, string>>;
  /** Written to stdin, which is then closed. Without it, stdin is /dev/null. */
  readonly input?: string | Uint8Array;
  /**
   * A descriptor of ours that the program gets as its descriptor 3. Both refer to the same open
   * file description, so locks taken on it stay with us.
   */
  readonly descriptor?: number;
  /** Gets the process id, before the program can have done anything that others notice. */
  readonly onStart?: (pid: number) => void;
}

export interface ExitResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The end of the child, once every pipe is closed and the child is reaped. */
interface Outcome {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  /** Set when we ended it, or when it never started. */
  readonly fault: Fault | undefined;
}

/**
 * Runs `program`, a bare name from the system's folders or an absolute path, and waits for its end.
 * @throws Fault `process.failed` when the program is missing, writes more than the bound, is
 *   killed, or ends with a code other than 0; `process.timeout`.
 */
export async function runProgram(
  program: string,
  args: readonly string[],
  options: RunOptions,
): Promise<{ stdout: string; stderr: string }> {
  const { exitCode, stdout, stderr } = await runToExit(program, args, options);
  if (exitCode !== 0)
    throw new Fault("process.failed", `run "${program}": it ended with code ${exitCode}${errorText(stderr, stdout)}`);
  return { stdout, stderr };
}

/**
 * Like {@link runProgram}, for programs whose exit code is an answer.
 * @throws Fault `process.failed`, `process.timeout`.
 */
export async function runToExit(program: string, args: readonly string[], options: RunOptions): Promise<ExitResult> {
  const path = findProgram(program);
  const child = start(path, args, options);
  if (child.pid !== undefined) options.onStart?.(child.pid);
  const { exitCode, signal, stdout, stderr, fault } = await finished(program, child, options);
  if (fault !== undefined) throw fault;
  if (exitCode === null) throw new Fault("process.failed", `run "${program}": it was ended by ${signal ?? "an unknown signal"}`);
  return { exitCode, stdout: stdout.toString("utf8"), stderr: stderr.toString("utf8") };
}

function start(path: string, args: readonly string[], { env, input, descriptor }: RunOptions): ChildProcess {
  return spawn(path, [...args], {
    cwd: "/",
    env: { ...(env ?? { PATH: CHILD_PATH, LC_ALL: "C" }) },
    // a process group of its own, setsid(2), so that the kill reaches what it started
    detached: true,
    stdio: [input === undefined ? "ignore" : "pipe", "pipe", "pipe", ...(descriptor === undefined ? [] : [descriptor])],
  });
}

/** Never rejects: the outcome is data. */
function finished(program: string, child: ChildProcess, { timeoutMs, outputBytesMax, input }: RunOptions): Promise<Outcome> {
  return new Promise((resolve) => {
    let fault: Fault | undefined;
    const end = (reason: Fault): void => {
      fault ??= reason;
      killGroup(child);
      // A program that left the group could hold the pipes open forever. "close" waits for the
      // pipes only while we read them.
      child.stdout?.destroy();
      child.stderr?.destroy();
    };
    const overflow = (): void => end(new Fault("process.failed", `run "${program}": it wrote more than ${outputBytesMax} bytes`));
    const stdout = collect(child.stdout, outputBytesMax, overflow);
    const stderr = collect(child.stderr, outputBytesMax, overflow);
    const timer = setTimeout(
      () => end(new Fault("process.timeout", `run "${program}": it did not end within ${timeoutMs} ms and was killed`)),
      timeoutMs,
    );
    child.on("error", (cause) => end(new Fault("process.failed", `run "${program}": ${cause.message}`, { cause })));
    child.on("close", (exitCode, signal) => {
      clearTimeout(timer);
      resolve({ exitCode, signal, stdout: Buffer.from(stdout.take()), stderr: Buffer.from(stderr.take()), fault });
    });
    // EPIPE: the program did not read all of its input; its exit code says whether that matters
    child.stdin?.on("error", () => undefined);
    if (input !== undefined) child.stdin?.end(input);
  });
}

function collect(stream: Readable | null, bytesMax: number, overflow: () => void): ByteCollector {
  const collected = new ByteCollector();
  stream?.on("data", (chunk: Buffer) => {
    if (collected.length + chunk.byteLength > bytesMax) overflow();
    else collected.add(chunk);
  });
  return collected;
}

/** kill(2) with a negative pid reaches the whole group. ESRCH means that it is already gone. */
export function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}

/** The program's own error text on one line, printable: it ends in logs and on terminals. */
function errorText(stderr: string, stdout: string): string {
  const text = singleLine(stderr.trim() === "" ? stdout : stderr, ERROR_TEXT_UNITS_MAX);
  return text === "" ? "" : `: ${text}`;
}
