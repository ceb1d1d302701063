// The program sallyport-install: the warden starts it for one job, which comes over standard input.
// It writes a slot and ends.
import { asFault, type Fault } from "../../hal/fault.ts";
import { clip } from "../../hal/format/text.ts";
import { ignoreInspectorSignal } from "../../hal/inspector.ts";
import { createFileSlots, journal, linuxClock, linuxHandoverReader, createPartitionSlots } from "../../hal/linux/index.ts";
import { inThread, serveThread, startThreads } from "../../hal/linux/threads/index.ts";
import { verifyRangesOn, rangeWork } from "../../ota/index/index.ts";
import { IMAGE_BYTES_MAX } from "../../ota/index/format/index.ts";
import type { InstallEvent } from "./format.ts";
import { install, installerPlaces, readJobs } from "./index.ts";

const NAME = "sallyport-install";
const EXIT_FAULT = 1;
const EXIT_USAGE = 2;

ignoreInspectorSignal();
const say = journal(NAME);

function send(event: InstallEvent): void {
  process.stdout.write(`${JSON.stringify(event)}\n`);
}

function failed(fault: Fault): void {
  say(`${fault.code}: ${fault.message}`);
  process.exitCode = fault.code === "usage.invalid" ? EXIT_USAGE : EXIT_FAULT;
  send({ said: "fault", code: fault.code, message: clip(fault.message, 2048) });
}

async function main(): Promise<void> {
  const { root, slots: place, handover: handoverDirectory } = installerPlaces(process.argv.slice(2));
  // this program has nothing else to do while it reads
  await using handover = await linuxHandoverReader(handoverDirectory, { blocking: true });
  const jobs = readJobs(process.stdin);
  const slots =
    typeof place === "string"
      ? createFileSlots({ directory: place, root, partBytesMax: IMAGE_BYTES_MAX })
      : createPartitionSlots({ root, esp: place.esp, kernelBytesMax: IMAGE_BYTES_MAX });
  const threads = startThreads({ file: import.meta.url, countMax: 1 });
  try {
    const verifier = verifyRangesOn(threads);
    await install({
      slots,
      handover,
      verifier,
      clock: linuxClock(),
      next: () => jobs.next(),
      send,
      signal: jobs.signal,
    });
  } finally {
    await threads.close();
  }
}

if (inThread()) serveThread(rangeWork);
else {
  // the warden is gone: the end of our input reports that too
  process.stdout.on("error", () => undefined);
  await main().catch((error: unknown) => failed(asFault(error, "assert.broken", "install")));
  process.stdin.destroy(); // an open pipe would keep this process alive
}
