// The boot choice for systemd-boot: each change is the rename of one kernel image. [OTA-34]
import { Fault } from "../../fault.ts";
import type { BootChoice } from "../../ports.ts";
import type { SlotName } from "../../format/slots.ts";
import type { FileOps } from "../files/index.ts";
import { type BootEntry, entryName, entryOf, nextGeneration, planOf, inBootOrder, trialEntryOf } from "./entries.ts";
import { type KernelImages, createKernelImages } from "./esp.ts";

export interface SystemdBootOptions {
  /** Where the EFI system partition is mounted. */
  readonly esp: string;
  /** Boots of a trial, at least 1. With 2, one power cut during a trial does not end it. */
  readonly tries: number;
  /** For tests. */
  readonly ops?: FileOps;
}

/** The names are explained in entries.ts, what is relied on of FAT in esp.ts. */
export function createSystemdBootChoice({ esp, tries, ops }: SystemdBootOptions): BootChoice {
  const kernels = createKernelImages(esp, ops);
  return {
    read: async () => planOf(await kernels.entries()),
    tryOnce: async (slot) => {
      const all = await kernels.entries();
      if (planOf(all).committed === slot) throw new Fault("slot.in-use", `try slot "${slot}": it is the committed one`);
      const from = (await kernels.written(slot)) ?? entryOf(all, slot)?.name;
      if (from === undefined) throw noKernel("try", slot);
      await kernels.rename(from, { generation: nextGeneration(all), slot, tries: { left: tries, done: 0 } });
    },
    commit: async (slot) => {
      const all = await kernels.entries();
      const own = entryOf(all, slot);
      if (own === undefined) throw noKernel("commit", slot);
      if (own.tries === undefined) await withdrawAbove(kernels, own);
      else await kernels.rename(own.name, { generation: committedGeneration(all, own), slot, tries: undefined });
    },
    cancel: async () => {
      const all = await kernels.entries();
      const trial = trialEntryOf(all);
      if (trial !== undefined) await withdraw(kernels, all, trial);
    },
  };
}

/**
 * The entry's own generation when it is above all others: a trial that is committed only loses its
 * counters.
 */
function committedGeneration(all: readonly BootEntry[], own: BootEntry): number {
  const others = all.filter(({ slot }) => slot !== own.slot);
  return own.generation >= nextGeneration(others) ? own.generation : nextGeneration(all);
}

/**
 * The good entry keeps its name, and the entries above it are withdrawn. This is one change, unless
 * a power cut left a file under two names.
 */
async function withdrawAbove(kernels: KernelImages, own: BootEntry): Promise<void> {
  for (;;) {
    const all = await kernels.entries();
    const [first] = inBootOrder(all);
    if (first === undefined || first.slot === own.slot) return;
    await withdraw(kernels, all, first);
  }
}

/** Renames the entry so that the boot loader takes it only when there is no other. */
async function withdraw(kernels: KernelImages, all: readonly BootEntry[], { name, slot }: BootEntry): Promise<void> {
  const taken = new Set(all.map((entry) => entry.name.toLowerCase()));
  const to = (done: number) => ({ generation: 0, slot, tries: { left: 0, done } });
  let done = 0;
  while (taken.has(entryName(to(done)))) done += 1;
  await kernels.rename(name, to(done));
}

function noKernel(action: string, slot: SlotName): Fault {
  return new Fault("boot.plan-invalid", `${action} slot "${slot}": it has no kernel image`);
}
