// Load, memory and uptime of the machine, which are cheap to read.
import { join } from "node:path";
import { Fault } from "../fault.ts";
import type { VitalSigns, Vitals } from "../ports.ts";
import { readKernelFile } from "./files/index.ts";

const PROC_FILE_BYTES_MAX = 8192;

/**
 * Reads /proc/uptime, /proc/loadavg and /proc/meminfo under `root`, proc(5). Each is a snapshot
 * that the kernel makes when it is read. MemAvailable (Linux 3.14 and later) is the kernel's
 * estimate of the memory available without swapping.
 */
export function linuxVitals(root = "/"): Vitals {
  return {
    read: async (): Promise<VitalSigns> => {
      const memory = await procFile(root, "meminfo");
      return {
        uptimeS: numberIn("uptime", /^(\d+(?:\.\d+)?) /, await procFile(root, "uptime")),
        load1: numberIn("loadavg", /^(\d+(?:\.\d+)?) /, await procFile(root, "loadavg")),
        memoryTotalBytes: 1024 * numberIn("meminfo", /^MemTotal: +(\d+) kB$/m, memory),
        memoryAvailableBytes: 1024 * numberIn("meminfo", /^MemAvailable: +(\d+) kB$/m, memory),
        residentBytes: process.memoryUsage.rss(),
      };
    },
  };
}

async function procFile(root: string, name: string): Promise<string> {
  const path = join(root, "proc", name);
  const text = await readKernelFile(path, PROC_FILE_BYTES_MAX);
  if (text === undefined) throw new Fault("file.read-failed", `read "${path}": it does not exist; is /proc mounted?`);
  return text;
}

function numberIn(name: string, pattern: RegExp, text: string): number {
  const found = pattern.exec(text)?.[1];
  if (found === undefined) throw new Fault("file.read-failed", `read /proc/${name}: it does not match ${String(pattern)}`);
  return Number(found);
}
