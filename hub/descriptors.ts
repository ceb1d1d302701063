// The files that a process may have open. Each connection is one. Beyond the limit the kernel gives
// no more, and Node resets every new connection without a word.
import { readdir, readFile, stat } from "node:fs/promises";
import { Fault } from "../hal/fault.ts";
import {
  DESCRIPTORS_MIN,
  DESCRIPTORS_SPARE,
  HTTP_PROVEN_MAX,
  HTTP_UNPROVEN_MAX,
  MQTT_PROVEN_MAX,
  MQTT_UNPROVEN_MAX,
} from "./limits.ts";

/** All connections that the hub's own bounds allow, with room for files. */
const WANTED = HTTP_UNPROVEN_MAX + HTTP_PROVEN_MAX + MQTT_UNPROVEN_MAX + MQTT_PROVEN_MAX + 1024;
const REMEDY = "raise LimitNOFILE= of its unit, or ulimit -n, and start it again";

/** @returns how many files this process may have open; undefined where that cannot be found. */
export async function descriptorLimit(): Promise<number | undefined> {
  try {
    // Node has raised the soft limit to the hard one at its start.
    const soft = /^Max open files\s+(\d+)\s/mu.exec(await readFile("/proc/self/limits", "utf8"))?.[1];
    return soft === undefined ? undefined : Number(soft);
  } catch {
    return undefined;
  }
}

/** @throws Fault `hub.files-exhausted` for a limit with which the hub could not even start. */
export function expectDescriptors(limit: number | undefined): void {
  if (limit === undefined || limit >= DESCRIPTORS_MIN) return;
  throw new Fault(
    "hub.files-exhausted",
    `the hub may have ${limit} files open, and needs ${DESCRIPTORS_MIN} at least; ${REMEDY}`,
  );
}

/** @returns what an operator should know at the start about a limit below the hub's own bounds. */
export function descriptorAdvice(limit: number | undefined): string | undefined {
  if (limit === undefined || limit >= WANTED) return undefined;
  return `the hub may have ${limit} files open, and with all the connections that it allows it would have ${WANTED}; for a large fleet ${REMEDY}`;
}

/**
 * Looks whether the files run out.
 * @returns a function to call now and then. It tells `onFault` once, and again after there was
 *   room.
 */
export function watchDescriptors(limit: number | undefined, onFault: (fault: Fault) => void): () => Promise<void> {
  let isTold = false;
  return async () => {
    if (limit === undefined) return;
    const isOut = (await openDescriptors(limit)) > limit - DESCRIPTORS_SPARE;
    if (isOut && !isTold)
      onFault(
        new Fault(
          "hub.files-exhausted",
          `nearly all of the ${limit} files that the hub may have open are, so new connections are reset; ${REMEDY}`,
        ),
      );
    isTold = isOut;
  };
}

async function openDescriptors(limit: number): Promise<number> {
  try {
    // Linux 6.2 and later give the number as a size, proc_pid_fd(5).
    const { size } = await stat("/proc/self/fd");
    return size > 0 ? size : (await readdir("/proc/self/fd")).length;
  } catch {
    return limit; // EMFILE: not even for this
  }
}
