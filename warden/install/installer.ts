// The installer's one job: indexes first, then each part stretch by stretch, synced, read back. Whatever goes wrong ends it. [OTA-33] [OTA-41]
import { Fault } from "../../hal/fault.ts";
import type { Clock, HandoverReader, Slots, SlotWriter } from "../../hal/ports.ts";
import type { SlotName, SlotPart } from "../../hal/format/slots.ts";
import { handoverName } from "../../ota/fetch/index.ts";
import type { ChunkIndex } from "../../ota/index/format/index.ts";
import type { RangeVerifier } from "../../ota/index/index.ts";
import type { ImagePart } from "../../ota/install/format.ts";
import { handoverSource, openPartIndex, type PartToInstall, readBack, writeChunks } from "../../ota/install/index.ts";
import type { InstallEvent, InstallJob } from "./format.ts";
import { PROGRESS_EVERY_MS } from "./limits.ts";

export interface InstallerPorts {
  readonly slots: Slots;
  readonly handover: HandoverReader;
  /** Where chunks are unpacked and hashed. */
  readonly verifier: RangeVerifier;
  readonly clock: Pick<Clock, "monotonicMs">;
  /** The next order; undefined when the warden is gone. */
  readonly next: () => Promise<InstallJob | undefined>;
  readonly say: (news: InstallEvent) => void;
  /** Aborts when the warden is gone. */
  readonly signal: AbortSignal;
}

interface IndexedPart {
  readonly part: SlotPart;
  readonly index: ChunkIndex;
}

/** @throws Fault `update.aborted` when the warden is gone; `protocol.invalid` for an order out of turn; what `ota/install` throws. */
export async function install(ports: InstallerPorts): Promise<void> {
  const order = await nextOrder(ports);
  if (order.do !== "install") throw new Fault("protocol.invalid", `expected the order "install" first, got "${order.do}"`);
  const parts: IndexedPart[] = [];
  for (const part of order.parts) parts.push({ part: part.part, index: await takeIndex(ports.handover, part) });
  ports.say({ said: "ready" });
  for (const part of parts) await installPart(ports, order.slot, part);
  ports.say({ said: "done" });
}

/** [OTA-41] The warden has seen it already; whoever changed it since has to hit the hash of the signed manifest. */
async function takeIndex(handover: HandoverReader, part: ImagePart): Promise<ChunkIndex> {
  const { path, bytes } = part.index;
  const taken = await handover.take(handoverName(path), bytes);
  if (taken === undefined)
    throw new Fault("index.invalid", `take the index of ${part.part}, "${path}": it is not in the hand-over directory`);
  return openPartIndex(taken, part);
}

/** The slot is opened with the first stretch: a job that gets none leaves it as it was. [OTA-33] */
async function installPart(ports: InstallerPorts, slotName: SlotName, { part, index }: IndexedPart): Promise<void> {
  let slot: SlotWriter | undefined;
  /** What is synced is read back while the agent fetches what comes next. */
  let behind = Promise.resolve();
  try {
    for (let from = 0; from < index.count;) {
      const { to } = await nextStretch(ports, part, from, index.count);
      slot ??= await ports.slots.open(slotName, part, index.imageBytes);
      const work = partOf(ports, part, index, slot);
      await writeChunks(work, from, to);
      await slot.sync();
      ports.say({ said: "written", part, from, to });
      const stretch = [from, to] as const;
      behind = behind.then(() => readBack(work, ...stretch));
      behind.catch(() => undefined); // thrown below
      from = to;
    }
    await behind;
  } finally {
    await behind.catch(() => undefined); // not to be closed under its hands; the first fault is the one to tell
    await slot?.close();
  }
  ports.say({ said: "proven", part });
}

function partOf(ports: InstallerPorts, part: SlotPart, index: ChunkIndex, slot: SlotWriter): PartToInstall {
  const { handover, verifier, clock, say, signal } = ports;
  let saidAtMs = clock.monotonicMs();
  return {
    index,
    slot,
    source: handoverSource(handover),
    verifier,
    signal,
    onProgress: ({ phase, chunks }) => {
      if (clock.monotonicMs() - saidAtMs < PROGRESS_EVERY_MS) return;
      saidAtMs = clock.monotonicMs();
      say({ said: "progress", part, phase, chunks });
    },
  };
}

async function nextStretch(ports: InstallerPorts, part: SlotPart, from: number, count: number): Promise<{ readonly to: number }> {
  const order = await nextOrder(ports);
  if (order.do !== "write" || order.part !== part || order.from !== from || order.to <= from || order.to > count)
    throw new Fault(
      "protocol.invalid",
      `expected chunks of ${part} from ${from} up to at most ${count}, got ${JSON.stringify(order)}`,
    );
  return order;
}

async function nextOrder({ next }: InstallerPorts): Promise<InstallJob> {
  const order = await next();
  if (order === undefined) throw new Fault("update.aborted", "install: the warden is gone");
  return order;
}
