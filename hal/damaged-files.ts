// State files of which one may be damaged in any way: content, size, owner or type.
import { Fault, type FaultCode } from "./fault.ts";
import type { DurableFiles } from "./ports.ts";

/** What reading a state file throws when something else lies in its place. [STA-2] */
const UNREADABLE: readonly FaultCode[] = ["file.too-large", "file.untrusted-owner", "file.not-regular", "file.read-failed"];

/** Whether `error` says that a file is there and is not one of ours, whole. */
export function isUnreadable(error: unknown): error is Fault {
  return error instanceof Fault && UNREADABLE.includes(error.code);
}

/** Faults that are remembered for the status. There are fewer files than this. */
const REMEMBERED_MAX = 32;

export interface DamageLog {
  /** Each file's fault once, in the order of their first reading. */
  readonly faults: () => readonly Fault[];
  readonly report: (fault: Fault) => void;
  /** @param listener gets each fault once, those that were reported before included. */
  readonly listen: (listener: (fault: Fault) => void) => void;
}

/** @param report gets each fault when it occurs for the first time, for the journal. */
export function createDamageLog(report: (fault: Fault) => void): DamageLog {
  const seen = new Map<string, Fault>();
  const listeners = [report];
  return {
    faults: () => [...seen.values()],
    report: (fault) => {
      if (seen.has(fault.message) || seen.size >= REMEMBERED_MAX) return;
      seen.set(fault.message, fault);
      for (const listener of listeners) listener(fault);
    },
    listen: (listener) => {
      for (const fault of seen.values()) listener(fault);
      listeners.push(listener);
    },
  };
}

/** Files of a directory that cannot be used: each of them is damaged, and none can be written. */
export function damagedFiles(fault: Fault): DurableFiles {
  return {
    get: async () => new Uint8Array(),
    put: async () => Promise.reject(fault),
    remove: async () => Promise.reject(fault),
  };
}

/** Files of a directory that is not there and cannot be made: there are none. [STA-50] */
export function absentFiles(fault: Fault): DurableFiles {
  return { ...damagedFiles(fault), get: async () => undefined };
}

/**
 * [STA-4] `files`, with a file that is oversized, unreadable, another user's or no regular file
 * read as one without bytes: each reader then handles it as it handles a flipped bit, by the rule
 * of its record. Missing it is not: what must never be made a second time (a key, a floor) is not
 * made.
 *
 * A private key is an exception: that others may read it is mended by a command, which the fault
 * names, and another key would not mend it. [STA-30]
 * @param report gets the fault of every such reading, and of every content that is damaged.
 */
export function tolerateDamage(files: DurableFiles, report: (fault: Fault) => void): DurableFiles {
  return {
    put: (name, bytes) => files.put(name, bytes),
    remove: (name) => files.remove(name),
    noteDamage: report,
    get: async (name, bytesMax, access) => {
      try {
        return await files.get(name, bytesMax, access);
      } catch (error) {
        if (!isUnreadable(error)) throw error;
        report(error);
        if (access === "private") throw error;
        return new Uint8Array();
      }
    },
  };
}
