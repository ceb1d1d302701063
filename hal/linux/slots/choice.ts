// The boot choice in a file of one line. [OTA-34]
import { Fault } from "../../fault.ts";
import type { BootChoice, DurableFiles } from "../../ports.ts";
import { BOOT_PLAN_BYTES_MAX, type BootPlan, decodeBootPlan, encodeBootPlan, type SlotName } from "../../format/slots.ts";

const NAME = "boot-choice";

/** @param files the directory of the boot choice. Its `put` makes each change atomic. */
export function createFileBootChoice(files: DurableFiles): BootChoice {
  const read = async (): Promise<BootPlan> => {
    const bytes = await files.get(NAME, BOOT_PLAN_BYTES_MAX);
    if (bytes === undefined) throw new Fault("boot.plan-invalid", `read the boot choice: there is no file "${NAME}"`);
    return decodeBootPlan(Buffer.from(bytes).toString("latin1"));
  };
  const put = (plan: BootPlan): Promise<void> => files.put(NAME, Buffer.from(encodeBootPlan(plan)));
  return {
    read,
    tryOnce: async (slot) => {
      const { committed } = await read();
      if (committed === slot) throw new Fault("slot.in-use", `try slot "${slot}": it is the committed one`);
      await put({ committed, trial: { slot, used: false } });
    },
    commit: (slot: SlotName) => put({ committed: slot, trial: undefined }),
    cancel: async () => put({ committed: (await read()).committed, trial: undefined }),
  };
}
