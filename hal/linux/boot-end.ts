// What ended the boot before this one: the note of the trial's timer, and the watchdog's own
// record. A power cut leaves nothing, and most firmware tells nothing. [OTA-70]
import { join } from "node:path";
import type { BootEnd, BootEnding } from "../ports.ts";
import type { SlotName } from "../format/slots.ts";
import { errnoOf, linuxOps, readKernelFile, writeFault } from "./files/index.ts";

export interface BootEndOptions {
  /** `/`, or a folder that looks like the kernel's view of the machine. */
  readonly root: string;
  /** Where the timer's script leaves its note: the birth record's directory. */
  readonly directory: string;
}

/** The name is that of build/units/usr/lib/sallyport/end-trial. */
const NOTE = "trial-ended";
const NOTE_BYTES_MAX = 128;
const WATCHDOGS_MAX = 8;
/** linux/watchdog.h, WDIOF_CARDRESET: the card has reset the machine. */
const CARD_RESET = 0x20;

export function linuxBootEnd({ root, directory }: BootEndOptions): BootEnd {
  const note = join(directory, NOTE);
  return {
    told: async (slot) => ((await isNoted(note, slot)) ? "timer" : await watchdogTold(join(root, "sys/class/watchdog"))),
    forget: async () => {
      try {
        await linuxOps.unlink(note);
      } catch (error) {
        if (!["ENOENT", "ENOTDIR"].includes(errnoOf(error) ?? "")) throw writeFault(error, note);
      }
    },
  };
}

async function isNoted(note: string, slot: SlotName): Promise<boolean> {
  return (await orNothing(() => readKernelFile(note, NOTE_BYTES_MAX)))?.trim() === `timer ${slot}`;
}

/** A driver that does not record resets says 0, so only a reset that is recorded counts. */
async function watchdogTold(directory: string): Promise<BootEnding | undefined> {
  for (const name of (await orNothing(() => linuxOps.names(directory, WATCHDOGS_MAX))) ?? []) {
    const status = Number(await orNothing(() => readKernelFile(join(directory, name, "bootstatus"), NOTE_BYTES_MAX)));
    if ((status & CARD_RESET) !== 0) return "watchdog";
  }
  return undefined;
}

/** What cannot be read tells nothing. */
async function orNothing<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch {
    return undefined;
  }
}
