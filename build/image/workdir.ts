// Folders for the time of one run, which may be killed: the next run removes what is left of it.
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { Fault } from "../../hal/fault.ts";
import { hasCode } from "../errno.ts";

export interface WorkDirectory extends AsyncDisposable {
  readonly path: string;
  /** Of others at work here with the same prefix: their process ids. */
  readonly others: readonly number[];
}

/** Of a process that is gone another one may get the number, but not the start. */
const MADE_BY = /^(\d{1,10})-(\d{1,20})-[^-]{6}$/u;

/** Below `parent`, which is there. @param prefix lower-case letters, dots and dashes. @throws Fault `process.failed` without /proc. */
export async function makeWorkDirectory(parent: string, prefix: string): Promise<WorkDirectory> {
  const started = await startOf(process.pid);
  if (started === undefined) throw new Fault("process.failed", 'read when this process started: mount "/proc"');
  const path = await mkdtemp(join(parent, `${prefix}${process.pid}-${started}-`));
  const others: number[] = [];
  for (const name of await readdir(parent)) {
    const [, pid, start] = (name.startsWith(prefix) ? MADE_BY.exec(name.slice(prefix.length)) : undefined) ?? [];
    if (pid === undefined || start === undefined) continue;
    if ((await startOf(Number(pid))) !== start) await rm(join(parent, name), { recursive: true, force: true });
    else if (Number(pid) !== process.pid) others.push(Number(pid));
  }
  return { path, others, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** In ticks since the machine started, proc_pid_stat(5). @returns undefined when there is no such process, or it is dead and nobody asked how it ended. */
async function startOf(pid: number): Promise<string | undefined> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, "utf8");
    // the second field is the program's name in parentheses; there may be spaces and parentheses in it, behind it there are none
    const [state = "", ...fields] = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return state === "Z" || state === "X" ? undefined : fields[22 - 4];
  } catch (error) {
    if (hasCode(error, "ENOENT", "ESRCH")) return undefined;
    throw error;
  }
}
