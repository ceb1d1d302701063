// What a measure is given: how long it may take, a directory of its own, and a way to have everything undone at its end.
import { mkdtemp, rm, symlink } from "node:fs/promises";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Finding } from "./finding.ts";

export const PROJECT = fileURLToPath(new URL("../../", import.meta.url));

export interface Bench {
  /** Fewer messages and rounds, shorter waits. */
  readonly quick: boolean;
  /** Gone at the end of the measure. On a real disk where the machine has one; packages resolve from it as from the project. */
  readonly directory: string;
  /** What was begun last is ended first. */
  readonly teardown: (act: () => Promise<void> | void) => void;
  /** One line for whoever waits. */
  readonly progress: (text: string) => void;
}

export interface Measure {
  readonly name: string;
  /** What is measured against what, and how: stands above its rows. */
  readonly how: string;
  /** @throws Fault when it could not be measured. */
  readonly run: (bench: Bench) => Promise<readonly Finding[]>;
}

export interface Undoable {
  readonly bench: Bench;
  readonly undo: () => Promise<void>;
}

export async function openBench(quick: boolean, progress: (text: string) => void): Promise<Undoable> {
  // /tmp may lie in memory, where a durable write costs nothing; /var/tmp is to survive a reboot (hier(7))
  const directory = await mkdtemp(join(existsSync("/var/tmp") ? "/var/tmp" : tmpdir(), "sallyport-bench-"));
  await symlink(join(PROJECT, "node_modules"), join(directory, "node_modules"));
  const acts: (() => Promise<void> | void)[] = [() => rm(directory, { recursive: true, force: true })];
  return {
    bench: { quick, directory, progress, teardown: (act) => void acts.push(act) },
    async undo() {
      for (let act = acts.pop(); act !== undefined; act = acts.pop()) {
        try {
          await act();
        } catch (error) {
          progress(`clean up: ${String(error)}`); // what else was begun must end all the same
        }
      }
    },
  };
}
