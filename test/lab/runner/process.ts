// A program of ours, or a real counterpart, as a child process. Its output comes by lines, its end
// can be awaited, and it gets no environment but the one that is given.
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { Fault } from "../../../hal/fault.ts";

/**
 * Bound of every wait that fails a test when it ends. Only a hang may reach it, however busy the
 * machine is: with 16 busy loops on two cores, a wait of 20 s was too short (seen).
 */
export const HANG_MS = 300_000;

export interface RunningProgram {
  readonly name: string;
  readonly pid: number;
  /** All lines of stdout and stderr so far, the newest 2,000. */
  readonly lines: readonly string[];
  readonly ended: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
  /**
   * Resolves with the first line, past or future, that `pattern` matches.
   * @throws Fault `process.timeout` after `timeoutMs`, which is {@link HANG_MS} when left out;
   * `process.failed` when the program ends first.
   */
  line(pattern: RegExp, timeoutMs?: number): Promise<string>;
  /** Writes to its standard input. Only with {@link ProgramOptions.input}. */
  write(text: string): void;
  /** Sends `signal`, SIGTERM when left out, and waits for the end. Kills it after a minute. */
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
  /**
   * Ends with this process, however it ends: a program that outlives its test holds a port and
   * memory for good.
   */
  readonly endsWithUs?: boolean;
  /** Keeps its standard input open, for {@link RunningProgram.write}. */
  readonly input?: boolean;
  readonly onLine?: (line: string) => void;
}

const LINES_KEPT_MAX = 2000;
/** How long a program may take to stop. systemd waits 90 s (TimeoutStopSec=). */
const STOP_MS_MAX = 60_000;

/**
 * The variables for `env -i`: what a test gives, and the cache in which the runner shares compiled
 * modules between processes. The bench has none, so that what it measures compiles for itself.
 */
export function environment(env: Readonly<Record<string, string>> = {}): readonly string[] {
  const cache = process.env["NODE_COMPILE_CACHE"];
  const all = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", ...(cache !== undefined && { NODE_COMPILE_CACHE: cache }), ...env };
  return Object.entries(all).map(([key, value]) => `${key}=${value}`);
}

/** Starts it with an empty environment: tap and npm add variables to what tests spawn. */
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
  // The setpriv that changes the user must also set the death signal, which it does afterwards: a
  // change of the user clears it, PR_SET_PDEATHSIG(2const).
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
  ended.catch(() => {}); // a rejection that nobody awaits must not end the test runner
  return {
    name,
    pid: child.pid ?? -1,
    lines,
    ended,
    write: (text) => void child.stdin?.write(text),
    line: (pattern, timeoutMs = HANG_MS) => awaitLine({ name, lines, listeners, ended }, pattern, timeoutMs),
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
  const last = setTimeout(() => child.kill("SIGKILL"), STOP_MS_MAX);
  try {
    return await ended;
  } finally {
    clearTimeout(last);
  }
}

/**
 * Calls `attempt` until it returns something.
 * @throws Fault `process.timeout` after `timeoutMs`, with the last fault as its cause.
 */
export async function eventually<T>(
  what: string,
  attempt: () => Promise<T | undefined>,
  timeoutMs = HANG_MS,
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
