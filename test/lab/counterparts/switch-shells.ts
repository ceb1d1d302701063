// The shells of a dead man's switch, as the kernel shows them. A test ends the wait of one instead
// of waiting for it, and sees by their end that nothing can fire any more.
import { readdir, readFile } from "node:fs/promises";
import { Fault } from "../../../hal/fault.ts";
import { eventually } from "../runner/process.ts";

export interface SwitchShells {
  /** The file of each shell that waits to fire, by its path while it is armed. */
  waiting(): Promise<readonly string[]>;
  /** Resolves with the file of the shell that waits, once there is one and no other. */
  one(): Promise<string>;
  /**
   * Finds the shell of this armed file, or the only one.
   * @returns a function that ends its wait, as if its time were over.
   */
  find(armed?: string): Promise<() => void>;
  /** Finds a shell and ends its wait. */
  wake(armed?: string): Promise<void>;
  /** Resolves when no shell is left, and nothing that one of them has started. */
  ended(): Promise<void>;
}

interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly group: number;
  readonly words: readonly string[];
}

/** The shells whose files are in `directory`. */
export function switchShells(directory: string): SwitchShells {
  const groups = new Set<number>();
  const shells = async (): Promise<readonly Process[]> => {
    const all = await processes();
    const found = all.filter(({ pid, group, words }) => pid === group && isShellOf(words, directory));
    for (const { group } of found) groups.add(group);
    return found;
  };
  const sleeps = async (): Promise<readonly { readonly pid: number; readonly armed: string }[]> => {
    const [all, found] = [await processes(), await shells()];
    return all.flatMap(({ pid, parent, words: [program, seconds] }) => {
      const shell = found.find((one) => one.pid === parent);
      // the first argument of the script; later the shell sleeps between two tries
      return shell !== undefined && program === "sleep" && seconds === shell.words[4]
        ? [{ pid, armed: shell.words[5] ?? "" }]
        : [];
    });
  };
  const find = async (armed?: string): Promise<() => void> => {
    const { pid } = await eventually("a switch that waits", async () =>
      (await sleeps()).find((sleep) => armed === undefined || sleep.armed === armed),
    );
    return () => void process.kill(pid, "SIGKILL");
  };
  const waiting = async (): Promise<readonly string[]> => (await sleeps()).map(({ armed }) => armed);
  return {
    waiting,
    one: () =>
      eventually("one switch waits", async () => {
        const [first, ...others] = await waiting();
        return others.length === 0 ? first : undefined;
      }),
    find,
    wake: async (armed) => (await find(armed))(),
    ended: async () => {
      await eventually("every shell of the switch has ended", async () => {
        await shells();
        return (await processes()).every(({ group }) => !groups.has(group)) ? true : undefined;
      });
    },
  };
}

function isShellOf(words: readonly string[], directory: string): boolean {
  return words[3] === "sallyport-dead-man" && words[5]?.startsWith(`${directory}/`) === true;
}

/** proc_pid_stat(5): parent and process group follow the name, which is in parentheses. */
async function processes(): Promise<readonly Process[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/u.test(name));
  const all = await Promise.all(
    pids.map(async (pid): Promise<readonly Process[]> => {
      try {
        const [stat, command] = [await readFile(`/proc/${pid}/stat`, "utf8"), await readFile(`/proc/${pid}/cmdline`, "utf8")];
        const [state, parent, group] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
        if (state === "Z") return [];
        return [{ pid: Number(pid), parent: Number(parent), group: Number(group), words: command.split("\0") }];
      } catch (error) {
        if (error instanceof Error && "code" in error) return []; // it has ended meanwhile
        throw new Fault("assert.broken", "read /proc", { cause: error });
      }
    }),
  );
  return all.flat();
}
