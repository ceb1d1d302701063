// The time since the machine booted.
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { asFault, Fault } from "../fault.ts";
import { readKernelFile } from "./files/index.ts";

/** /proc/uptime holds two numbers, proc(5). */
const UPTIME_BYTES_MAX = 256;

/**
 * Milliseconds since the kernel's boot, /proc/uptime, proc(5). Neither setting a clock nor
 * restarting a program changes it. A simulated board, with a `root` other than `/`, boots when its
 * boot id is written.
 * @throws Fault `file.read-failed`.
 */
export async function linuxUptime(root: string): Promise<number> {
  return root === "/"
    ? await sinceBoot(join(root, "proc/uptime"))
    : await sinceWritten(join(root, "proc/sys/kernel/random/boot_id"));
}

async function sinceBoot(path: string): Promise<number> {
  const seconds = /^(\d+\.\d+) /u.exec((await readKernelFile(path, UPTIME_BYTES_MAX)) ?? "")?.[1];
  if (seconds === undefined) throw new Fault("file.read-failed", `read "${path}": expected two numbers; is /proc mounted?`);
  return Math.floor(Number(seconds) * 1000);
}

async function sinceWritten(path: string): Promise<number> {
  try {
    return Math.max(0, Math.floor(Date.now() - (await stat(path)).mtimeMs));
  } catch (error) {
    throw asFault(error, "file.read-failed", `read the age of "${path}"`);
  }
}
