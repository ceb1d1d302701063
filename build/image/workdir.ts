// Working directories of one run. The next run removes what a killed run left behind.
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { Fault } from "../../hal/fault.ts";
import { hasCode } from "../errno.ts";

export interface WorkDirectory extends AsyncDisposable {
  readonly path: string;
  /** Process ids of other runs that work here with the same prefix. */
  readonly others: readonly number[];
}

/** Process id and start time: a later process can get the same id, but not the same start time. */
const MADE_BY = /^(\d{1,10})-(\d{1,20})-[^-]{6}$/u;

/**
 * Makes a working directory in the existing directory `parent`.
 * @param prefix lower-case letters, dots and dashes.
 * @throws Fault `process.failed` without /proc.
 */
export async function makeWorkDirectory(parent: string, prefix: string): Promise<WorkDirectory> {
  const started = await startOf(process.pid);
  if (started === undefined) throw new Fault("process.failed", 'read the start time of this process: "/proc" must be mounted');
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

/**
 * The start time of a process, in ticks since boot, proc_pid_stat(5).
 * @returns undefined when there is no such process, or it is a zombie.
 */
async function startOf(pid: number): Promise<string | undefined> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, "utf8");
    // The second field is the program's name in parentheses. The name may contain spaces and
    // parentheses; the fields behind it do not.
    const [state = "", ...fields] = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return state === "Z" || state === "X" ? undefined : fields[22 - 4];
  } catch (error) {
    if (hasCode(error, "ENOENT", "ESRCH")) return undefined;
    throw error;
  }
}
