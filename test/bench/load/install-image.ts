// Installs an image as the installer does, with its threads. Arguments: index, hand-over directory,
// board.
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { assert } from "../../../hal/fault.ts";
import { linuxHandoverReader } from "../../../hal/linux/handover/index.ts";
import { createFileSlots } from "../../../hal/linux/slots/index.ts";
import { inThread, serveThread, startThreads } from "../../../hal/linux/threads/index.ts";
import { readIndex } from "../../../ota/index/format/index.ts";
import { verifyRangesOn, rangeWork } from "../../../ota/index/index.ts";
import { createHandoverSource, installPart } from "../../../ota/install/index.ts";
import { serveRounds } from "./rounds.ts";

if (inThread()) serveThread(rangeWork);
else {
  const [caibx = "", directory = "", board = ""] = process.argv.slice(2);
  const index = readIndex(await readFile(caibx));
  const slots = createFileSlots({ directory: `${board}/slots`, root: board, partBytesMax: index.imageBytes });
  const before = memoryKb("VmRSS") * 1024;
  const threads = startThreads({ file: import.meta.url, countMax: 1 });
  const handover = await linuxHandoverReader(directory, { blocking: true });
  serveRounds(async () => {
    const cpu = process.cpuUsage();
    const slot = await slots.open("b", "root", index.imageBytes);
    await installPart({ index, slot, source: createHandoverSource(handover), verifier: verifyRangesOn(threads) });
    await slot.close();
    const { user, system } = process.cpuUsage(cpu);
    return { cpuMs: (user + system) / 1000, grownBytes: memoryKb("VmHWM") * 1024 - before };
  });
}

/** VmHWM is the peak: proc_pid_status(5). */
function memoryKb(name: "VmRSS" | "VmHWM"): number {
  const kilobytes = new RegExp(`^${name}:\\s+(\\d+) kB$`, "mu").exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  assert(kilobytes !== undefined, `the kernel tells ${name}`);
  return Number(kilobytes);
}
