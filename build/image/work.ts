// Folders for the time of one run, which may be killed: the next run removes what is left of it.
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { hasCode } from "../errno.ts";

export interface WorkFolder extends AsyncDisposable {
  readonly path: string;
  /** Of others at work here with the same prefix: their process ids. */
  readonly others: readonly number[];
}

/** Below `parent`, which is there. @param prefix lower-case letters, dots and dashes. */
export async function workFolder(parent: string, prefix: string): Promise<WorkFolder> {
  const path = await mkdtemp(join(parent, `${prefix}${process.pid}-`));
  const others: number[] = [];
  for (const name of await readdir(parent)) {
    const pid = name.startsWith(prefix) ? /^(\d+)-[^-]{6}$/u.exec(name.slice(prefix.length))?.[1] : undefined;
    if (pid === undefined || Number(pid) === process.pid) continue;
    if (isRunning(Number(pid))) others.push(Number(pid));
    else await rm(join(parent, name), { recursive: true, force: true });
  }
  return { path, others, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** kill(2) with signal 0: ESRCH means that there is no such process. */
function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return !hasCode(error, "ESRCH");
  }
}
