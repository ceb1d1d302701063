// The memory of a process as the kernel counts it: /proc/PID/smaps_rollup
// (proc_pid_smaps_rollup(5)).
import { readFile } from "node:fs/promises";
import { Fault } from "../../hal/fault.ts";

export interface Memory {
  /** All pages in memory, shared pages included. */
  readonly rssBytes: number;
  /** Each page divided by the number of processes that share it. */
  readonly pssBytes: number;
  /** Pages that the process wrote and shares with no other: they are freed when it ends. */
  readonly privateDirtyBytes: number;
}

/** @throws Fault `file.read-failed` when there is no such process or no permission to read it. */
export async function memoryOf(pid: number): Promise<Memory> {
  const path = `/proc/${pid}/smaps_rollup`;
  try {
    const text = await readFile(path, "utf8");
    const bytes = (name: string): number => {
      const kilobytes = new RegExp(`^${name}:\\s+(\\d+) kB$`, "mu").exec(text)?.[1];
      if (kilobytes === undefined) throw new Fault("file.read-failed", `read "${path}": it has no line "${name}"`);
      return Number(kilobytes) * 1024;
    };
    return { rssBytes: bytes("Rss"), pssBytes: bytes("Pss"), privateDirtyBytes: bytes("Private_Dirty") };
  } catch (cause) {
    throw new Fault("file.read-failed", `read the memory of process ${pid}`, { cause });
  }
}
