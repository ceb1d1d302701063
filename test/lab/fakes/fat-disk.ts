// A FAT directory that can lose its power: what Linux's vfat may leave of renames and removals that
// were not synced.
//
// The model is weaker than that of crash-disk.ts for other file systems. The entry of a new file
// exists once the file was synced; before, it may exist without bytes. A rename adds an empty
// entry, gives it the file's clusters with the file's inode, and removes the old entry: until the
// file and then the directory were synced, any of the three may have reached the disk without the
// others. When both names have the bytes they are one chain of clusters: in a state of this model,
// two files with the same bytes. So tests must give each file its own bytes.
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { constants } from "node:fs";
import { basename, join } from "node:path";
import { Fault } from "../../../hal/fault.ts";
import { type FileOps, linuxOps } from "../../../hal/linux/files/index.ts";

/** Names to contents. */
export type FatState = ReadonlyMap<string, string>;

type Pending =
  | { readonly kind: "create"; readonly name: string }
  | { readonly kind: "rename"; readonly from: string; readonly to: string; synced: boolean }
  | { readonly kind: "unlink"; readonly name: string };

export interface FatDisk {
  readonly ops: FileOps;
  /** The number of calls that changed or synced something. */
  calls(): number;
  /** Every state that a power cut now may leave. */
  states(): readonly FatState[];
}

/** @param stopAt the number of the call at which the power goes: it and all later ones fail. */
export async function fatDisk(directory: string, stopAt = Number.POSITIVE_INFINITY): Promise<FatDisk> {
  let durable: FatState = await readState(directory);
  let pending: Pending[] = [];
  let calls = 0;
  const call = (): void => {
    if (calls >= stopAt) throw new Fault("file.write-failed", "the power is gone");
    calls += 1;
  };
  /**
   * Writes the inode into the entry that it has on the disk: after a rename, that is the new one.
   */
  const syncFile = async (name: string): Promise<void> => {
    let now = name;
    for (const one of pending)
      if (one.kind === "rename" && one.from === now) {
        one.synced = true;
        now = one.to;
      }
    if (now !== name) return;
    pending = pending.filter((one) => one.kind !== "create" || one.name !== name);
    durable = new Map([...durable, [name, (await readState(directory)).get(name) ?? ""]]);
  };
  const ops: FileOps = {
    open: async (path, flags, mode) => {
      const isNew = (flags & constants.O_CREAT) !== 0 && !(await readState(directory)).has(basename(path));
      if (isNew) call();
      const file = await linuxOps.open(path, flags, mode);
      if (isNew) pending.push({ kind: "create", name: basename(path) });
      const isDirectory = (flags & constants.O_DIRECTORY) !== 0;
      return {
        read: (...args) => file.read(...args),
        write: (...args) => file.write(...args),
        truncate: (length) => file.truncate(length),
        chmod: (mode) => file.chmod(mode),
        stat: () => file.stat(),
        close: () => file.close(),
        sync: async () => {
          call();
          if (isDirectory) {
            durable = await readState(directory);
            // The entry is there, and still empty.
            pending = pending.filter((one) => one.kind === "create" || (one.kind === "rename" && !one.synced));
          } else await syncFile(basename(path));
        },
      };
    },
    rename: async (from, to) => {
      call();
      if (((await readState(directory)).get(basename(to)) ?? "") !== "")
        throw new Fault(
          "assert.broken",
          `renamed over "${basename(to)}": both may be one file, whose clusters would be freed twice`,
        );
      await linuxOps.rename(from, to);
      pending.push({ kind: "rename", from: basename(from), to: basename(to), synced: false });
    },
    unlink: async (path) => {
      const state = await readState(directory);
      // It fails as the missing file requires.
      if (!state.has(basename(path))) return await linuxOps.unlink(path);
      call();
      const other = sharing(state).find((names) => names.includes(basename(path)));
      if (other !== undefined)
        throw new Fault("assert.broken", `removed one of ${other.join(" and ")}: they are one file, whose clusters are free now`);
      await linuxOps.unlink(path);
      pending.push({ kind: "unlink", name: basename(path) });
    },
    mkdir: (path, mode) => linuxOps.mkdir(path, mode),
    freeBytes: (path) => linuxOps.freeBytes(path),
    names: (path, namesMax) => linuxOps.names(path, namesMax),
  };
  return {
    ops,
    calls: () => calls,
    states: () =>
      pending.reduce<readonly FatState[]>((states, one) => states.flatMap((state) => outcomes(state, one)), [durable]),
  };
}

function outcomes(state: FatState, change: Pending): readonly FatState[] {
  if (change.kind === "create") return [state, new Map([...state, [change.name, ""]])];
  if (change.kind === "unlink") return [state, without(state, change.name)];
  const { from, to, synced } = change;
  const bytes = state.get(from) ?? state.get(to) ?? "";
  const added = new Map([...state, [to, bytes]]);
  const empty = new Map([...state, [to, ""]]);
  // Its inode is written into the entry that the same block holds, so nothing is lost any more.
  if (synced) return [added, without(added, from)];
  return [state, added, empty, without(state, from), without(added, from), without(empty, from)];
}

/** Names that are one chain of clusters. */
function sharing(state: FatState): readonly (readonly string[])[] {
  const names = [...state.keys()];
  return names.flatMap((one, n) =>
    names.slice(n + 1).flatMap((other) => (state.get(one) !== "" && state.get(one) === state.get(other) ? [[one, other]] : [])),
  );
}

/**
 * What fsck.vfat -a may make of `state` before it is mounted. Of two files that share clusters it
 * empties the second, and either may be the second.
 */
export function afterFsck(state: FatState): readonly FatState[] {
  const [first] = sharing(state);
  return first === undefined ? [state] : first.flatMap((name) => afterFsck(new Map([...state, [name, ""]])));
}

function without(state: FatState, name: string): FatState {
  return new Map([...state].filter(([one]) => one !== name));
}

async function readState(directory: string): Promise<FatState> {
  const names = await readdir(directory);
  return new Map(await Promise.all(names.map(async (name) => [name, await readFile(join(directory, name), "utf8")] as const)));
}

/** Makes `directory` hold `state` and nothing else. */
export async function restoreFat(state: FatState, directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true, mode: 0o700 });
  for (const [name, text] of state) await writeFile(join(directory, name), text, { mode: 0o600 });
}
