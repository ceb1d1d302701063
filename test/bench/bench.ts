// The context of a measure: its length, a directory of its own, and a stack of what must be undone
// at its end.
import { mkdtemp, rm, symlink } from "node:fs/promises";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Finding } from "./finding.ts";

export const PROJECT = fileURLToPath(new URL("../../", import.meta.url));

export interface Bench {
  /** True for fewer messages and rounds and shorter waits. */
  readonly quick: boolean;
  /**
   * A directory that is removed at the end of the measure. It lies on a real disk where the machine
   * has one, and packages resolve from it as from the project.
   */
  readonly directory: string;
  /** Undo actions, run in reverse order. */
  readonly teardown: (act: () => Promise<void> | void) => void;
  /** Prints one line of progress. */
  readonly progress: (text: string) => void;
}

/** A program or a way of work that our number is compared with. */
export interface Peer {
  readonly name: string;
  /** What it does of our work. */
  readonly does: string;
  /** What it does not do, and ours does. */
  readonly lacks: string;
}

export interface Measure {
  readonly name: string;
  readonly peers: readonly Peer[];
  /** What is measured, against which peer, and how: printed above the rows. */
  readonly how: string;
  /** What the machine lacks for it: then it is left out, and the reason printed. */
  readonly lacks?: () => string | undefined;
  /** @throws Fault when the measurement could not be made. */
  readonly run: (bench: Bench) => Promise<readonly Finding[]>;
}

export interface Undoable {
  readonly bench: Bench;
  readonly undo: () => Promise<void>;
}

export async function openBench(quick: boolean, progress: (text: string) => void): Promise<Undoable> {
  // /tmp may be in memory, where a durable write costs nothing; /var/tmp survives a reboot
  // (hier(7))
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
