// The installer's only job: it reads the index of every part, then writes each part range by range,
// syncs it and reads it back. Any failure ends the job. [OTA-33] [OTA-65]
import { Fault } from "../../hal/fault.ts";
import type { Clock, HandoverReader, Slots, SlotWriter } from "../../hal/ports.ts";
import type { SlotName, SlotPart } from "../../hal/format/slots.ts";
import { handoverName } from "../../ota/fetch/index.ts";
import type { ChunkIndex } from "../../ota/index/format/index.ts";
import type { RangeVerifier } from "../../ota/index/index.ts";
import type { ImagePart } from "../../ota/install/format.ts";
import { createHandoverSource, openPartIndex, type PartToInstall, readBack, writeChunks } from "../../ota/install/index.ts";
import type { InstallEvent, InstallJob } from "./format.ts";

/** The installer reports progress at most this often. */
const PROGRESS_PERIOD_MS = 1000;
/**
 * Many times what reading back one chunk or syncing a range takes: an installer that reports
 * nothing for so long while it has work hangs.
 */
export const SILENCE_MS_MAX = 300_000;

export interface InstallerPorts {
  readonly slots: Slots;
  readonly handover: HandoverReader;
  /** Where chunks are unpacked and hashed. */
  readonly verifier: RangeVerifier;
  readonly clock: Pick<Clock, "monotonicMs">;
  /** The next job; undefined when the warden is gone. */
  readonly next: () => Promise<InstallJob | undefined>;
  readonly send: (event: InstallEvent) => void;
  /** Aborts when the warden is gone. */
  readonly signal: AbortSignal;
}

interface IndexedPart {
  readonly part: SlotPart;
  readonly index: ChunkIndex;
}

/**
 * @throws Fault `update.aborted` when the warden is gone; `protocol.invalid` for a job out of
 *   order; what `ota/install` throws.
 */
export async function install(ports: InstallerPorts): Promise<void> {
  const job = await nextJob(ports);
  if (job.do !== "install") throw new Fault("protocol.invalid", `expected the job "install" first, got "${job.do}"`);
  const parts: IndexedPart[] = [];
  for (const part of job.parts) parts.push({ part: part.part, index: await takeIndex(ports.handover, part) });
  ports.send({ said: "ready" });
  for (const part of parts) await installPart(ports, job.slot, part);
  ports.send({ said: "done" });
}

/**
 * [OTA-41] The warden has checked the index before. It is checked here again, because the agent may
 * have changed it since: to pass, it must still have the hash of the signed manifest.
 */
async function takeIndex(handover: HandoverReader, part: ImagePart): Promise<ChunkIndex> {
  const { path, bytes } = part.index;
  const taken = await handover.take(handoverName(path), bytes);
  if (taken === undefined)
    throw new Fault("index.invalid", `take the index of ${part.part}, "${path}": it is not in the hand-over directory`);
  return openPartIndex(taken, part);
}

/** Opens the slot with the first range: a job without any leaves the slot as it was. [OTA-33] */
async function installPart(ports: InstallerPorts, slotName: SlotName, { part, index }: IndexedPart): Promise<void> {
  let slot: SlotWriter | undefined;
  /** Synced ranges are read back while the agent fetches the next ones. */
  let readingBack = Promise.resolve();
  try {
    for (let from = 0; from < index.count;) {
      const { to } = await nextRange(ports, part, from, index.count);
      slot ??= await ports.slots.open(slotName, part, index.imageBytes);
      const work = partOf(ports, part, index, slot);
      await writeChunks(work, from, to);
      await slot.sync();
      ports.send({ said: "written", part, from, to });
      const range = [from, to] as const;
      readingBack = readingBack.then(() => readBack(work, ...range));
      readingBack.catch(() => undefined); // thrown by the await below
      from = to;
    }
    await readingBack;
  } finally {
    // the slot must stay open until the reading ends; the first fault is thrown
    await readingBack.catch(() => undefined);
    await slot?.close();
  }
  ports.send({ said: "proven", part });
}

function partOf(ports: InstallerPorts, part: SlotPart, index: ChunkIndex, slot: SlotWriter): PartToInstall {
  const { handover, verifier, clock, send, signal } = ports;
  let sentAtMs = clock.monotonicMs();
  return {
    index,
    slot,
    source: createHandoverSource(handover),
    verifier,
    signal,
    onProgress: ({ phase, chunks }) => {
      if (clock.monotonicMs() - sentAtMs < PROGRESS_PERIOD_MS) return;
      sentAtMs = clock.monotonicMs();
      send({ said: "progress", part, phase, chunks });
    },
  };
}

async function nextRange(ports: InstallerPorts, part: SlotPart, from: number, count: number): Promise<{ readonly to: number }> {
  const job = await nextJob(ports);
  if (job.do !== "write" || job.part !== part || job.from !== from || job.to <= from || job.to > count)
    throw new Fault(
      "protocol.invalid",
      `expected chunks of ${part} from ${from} up to at most ${count}, got ${JSON.stringify(job)}`,
    );
  return job;
}

async function nextJob({ next }: InstallerPorts): Promise<InstallJob> {
  const job = await next();
  if (job === undefined) throw new Fault("update.aborted", "install: the warden is gone");
  return job;
}
