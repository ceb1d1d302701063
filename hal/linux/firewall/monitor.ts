// The watch over our table by the kernel's own notifications, as `nft monitor` prints them: one
// resident process, which is started again, later each time, when it ends. [LCK-69]
import { type ChildProcess, spawn } from "node:child_process";
import { asFault, type Fault } from "../../fault.ts";
import type { Clock, ForeignChange } from "../../ports.ts";
import { CHILD_PATH, findProgram, killGroup } from "../process/index.ts";
import { MONITOR_PAUSE_MS_MAX, MONITOR_PAUSE_MS_MIN, MONITOR_STEADY_MS, OWN_PROCESSES_MAX } from "./limits.ts";
import { MonitorReader } from "./monitor-lines.ts";

/**
 * The last processes of ours that changed the table. Where the kernel counts processes in another
 * way, as in a container, none is ever recognized, and what we did is looked at once more.
 */
export class OwnProcesses {
  readonly #pids: number[] = [];

  readonly note = (pid: number): void => {
    this.#pids.push(pid);
    if (this.#pids.length > OWN_PROCESSES_MAX) this.#pids.shift();
  };

  has(pid: number | undefined): boolean {
    return pid !== undefined && this.#pids.includes(pid);
  }
}

export interface MonitorOptions {
  /** The command before nft's arguments. */
  readonly command: readonly [string, ...string[]];
  readonly own: Pick<OwnProcesses, "has">;
  readonly clock: Pick<Clock, "sleep" | "monotonicMs">;
}

/**
 * Runs until `signal` aborts. Never rejects.
 * @param changed is also called when the watch begins anew: what was missed is not known.
 * @param report gets why the monitor ended or could not be started.
 */
export async function watchTable(
  options: MonitorOptions,
  changed: (change: ForeignChange) => void,
  report: (fault: Fault) => void,
  signal: AbortSignal,
): Promise<void> {
  const { clock } = options;
  let pauseMs = MONITOR_PAUSE_MS_MIN;
  while (!signal.aborted) {
    const begunMs = clock.monotonicMs();
    try {
      await monitorOnce(options, changed, signal);
    } catch (error) {
      if (!signal.aborted) report(asFault(error, "process.failed", "watch the packet filter"));
    }
    pauseMs =
      clock.monotonicMs() - begunMs < MONITOR_STEADY_MS ? Math.min(2 * pauseMs, MONITOR_PAUSE_MS_MAX) : MONITOR_PAUSE_MS_MIN;
    await clock.sleep(pauseMs, signal);
    if (!signal.aborted) changed({ by: "unknown", what: "unknown: the watch was interrupted" });
  }
}

/** Resolves when the monitor has ended. */
function monitorOnce(
  { command: [program, ...before], own }: MonitorOptions,
  changed: (change: ForeignChange) => void,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const reader = new MonitorReader();
    const child: ChildProcess = spawn(findProgram(program), [...before, "monitor"], {
      cwd: "/",
      env: { PATH: CHILD_PATH, LC_ALL: "C" },
      detached: true,
      stdio: ["ignore", "pipe", "ignore"],
    });
    const end = (): void => killGroup(child);
    signal.addEventListener("abort", end, { once: true });
    child.stdout?.setEncoding("latin1").on("data", (text: string) => {
      for (const { pid, ...change } of reader.read(text)) if (!own.has(pid)) changed(change);
    });
    child.once("error", reject);
    child.once("close", () => {
      signal.removeEventListener("abort", end);
      resolve();
    });
  });
}
