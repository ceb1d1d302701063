// A program of ours (or a real counterpart) as a child process: its output by lines, its end awaited, no environment but what is given.
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { Fault } from "../../../hal/fault.ts";

export interface RunningProgram {
  readonly name: string;
  readonly pid: number;
  /** All lines of stdout and stderr so far, the newest 2,000. */
  readonly lines: readonly string[];
  readonly ended: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
  /** Resolves with the first line, past or future, that `pattern` matches. @throws Fault `process.timeout` after `timeoutMs`, or when the program ends first. */
  line(pattern: RegExp, timeoutMs?: number): Promise<string>;
  /** To its standard input. Only with {@link ProgramOptions.input}. */
  write(text: string): void;
  /** Sends `signal` (SIGTERM) and waits for the end; SIGKILL after 10 s. */
  stop(signal?: NodeJS.Signals): Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
}

export interface ProgramOptions {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Runs as this user (and group of the same number) through setpriv; needs root. */
  readonly uid?: number;
  /** Ends with us, however we end; a program that outlives its test holds a port and memory for good. */
  readonly endsWithUs?: boolean;
  /** Keeps its standard input open, for {@link RunningProgram.write}. */
  readonly input?: boolean;
  readonly onLine?: (line: string) => void;
}

const LINES_KEPT_MAX = 2000;

/**
 * Words for `env -i`: beside what a test gives, what the runner shares between processes to compile each module once. Not set in the bench, so that what is measured
 * compiles for itself.
 */
export function environment(env: Readonly<Record<string, string>> = {}): readonly string[] {
  const cache = process.env["NODE_COMPILE_CACHE"];
  const all = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", ...(cache !== undefined && { NODE_COMPILE_CACHE: cache }), ...env };
  return Object.entries(all).map(([key, value]) => `${key}=${value}`);
}

/** Starts it with an empty environment: tap and npm put things into the environment of what tests spawn. */
export function startProgram({
  name,
  command,
  args,
  env = {},
  cwd,
  uid,
  endsWithUs = false,
  input = false,
  onLine,
}: ProgramOptions): RunningProgram {
  const privileges = uid === undefined ? [] : [`--reuid=${uid}`, `--regid=${uid}`, "--clear-groups"];
  // in the one setpriv that changes the user, which sets it after that: another user's process has lost it, PR_SET_PDEATHSIG(2const)
  const changes = [...privileges, ...(endsWithUs ? ["--pdeathsig", "KILL"] : [])];
  const changed = changes.length === 0 ? [] : ["/usr/bin/setpriv", ...changes, "--"];
  const child = spawn("/usr/bin/env", ["-i", ...environment(env), ...changed, command, ...args], {
    stdio: [input ? "pipe" : "ignore", "pipe", "pipe"],
    ...(cwd === undefined ? {} : { cwd }),
  });
  const lines: string[] = [];
  const listeners = new Set<(line: string) => void>();
  for (const stream of [child.stdout, child.stderr].filter((stream) => stream !== null)) {
    createInterface({ input: stream }).on("line", (line) => {
      lines.push(line);
      if (lines.length > LINES_KEPT_MAX) lines.shift();
      onLine?.(line);
      for (const listener of listeners) listener(line);
    });
  }
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve, reject) => {
    child.on("error", (cause) => reject(new Fault("process.failed", `start ${name}: ${cause.message}`, { cause })));
    child.on("close", (code, signal) => resolve({ code, signal }));
  });
  ended.catch(() => {}); // awaited by whoever cares; an unawaited one must not take the test runner down
  return {
    name,
    pid: child.pid ?? -1,
    lines,
    ended,
    write: (text) => void child.stdin?.write(text),
    line: (pattern, timeoutMs = 20_000) => awaitLine({ name, lines, listeners, ended }, pattern, timeoutMs),
    stop: (signal = "SIGTERM") => stop(child, ended, signal),
  };
}

interface Output {
  readonly name: string;
  readonly lines: readonly string[];
  readonly listeners: Set<(line: string) => void>;
  readonly ended: Promise<unknown>;
}

async function awaitLine({ name, lines, listeners, ended }: Output, pattern: RegExp, timeoutMs: number): Promise<string> {
  const past = lines.find((line) => pattern.test(line));
  if (past !== undefined) return past;
  return new Promise((resolve, reject) => {
    const finish = (act: () => void): void => {
      clearTimeout(timer);
      listeners.delete(listener);
      act();
    };
    const listener = (line: string): void => {
      if (pattern.test(line)) finish(() => resolve(line));
    };
    const tail = (): string => lines.slice(-15).join("\n");
    const timer = setTimeout(
      () =>
        finish(() =>
          reject(
            new Fault("process.timeout", `${name} did not print ${pattern} within ${timeoutMs} ms; its last lines:\n${tail()}`),
          ),
        ),
      timeoutMs,
    );
    listeners.add(listener);
    void ended.then(
      () =>
        finish(() =>
          reject(new Fault("process.failed", `${name} ended without printing ${pattern}; its last lines:\n${tail()}`)),
        ),
      (cause: unknown) => finish(() => reject(new Fault("process.failed", `${name} did not run`, { cause }))),
    );
  });
}

async function stop(
  child: ChildProcess,
  ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>,
  signal: NodeJS.Signals,
): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
  if (child.exitCode === null && child.signalCode === null) child.kill(signal);
  const last = setTimeout(() => child.kill("SIGKILL"), 10_000);
  try {
    return await ended;
  } finally {
    clearTimeout(last);
  }
}

/** Asks `attempt` until it gives something. @throws Fault `process.timeout` after `timeoutMs`, with the last fault as cause. */
export async function eventually<T>(
  what: string,
  attempt: () => Promise<T | undefined>,
  timeoutMs = 20_000,
  everyMs = 50,
): Promise<T> {
  const until = performance.now() + timeoutMs;
  for (;;) {
    const outcome = await attempt().then(
      (value) => ({ value, cause: undefined }),
      (cause: unknown) => ({ value: undefined, cause }),
    );
    if (outcome.value !== undefined) return outcome.value;
    if (performance.now() > until)
      throw new Fault("process.timeout", `${what} did not happen within ${timeoutMs} ms`, { cause: outcome.cause });
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}
