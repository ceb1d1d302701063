// The boot loader of a simulated board, in the place of systemd-boot or U-Boot. It reads the boot
// choice, marks a try as used and tells the kernel the slot.
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { decodeBootPlan, encodeBootPlan, type SlotName } from "../../../hal/format/slots.ts";
import { boot } from "../worlds/board.ts";

/**
 * Powers the board on. [OTA-34]
 * @param root stands for `/` on the board.
 * @returns the booted slot; proc/cmdline names it too, under a new boot id.
 */
export async function powerOn(root: string): Promise<SlotName> {
  const path = join(root, "slots/boot-choice");
  const plan = decodeBootPlan(await readFile(path, "latin1"));
  const trial = plan.trial !== undefined && !plan.trial.used ? plan.trial.slot : undefined;
  if (trial !== undefined) {
    await writeFile(`${path}.boot`, encodeBootPlan({ ...plan, trial: { slot: trial, used: true } }), { mode: 0o600 });
    await rename(`${path}.boot`, path);
  }
  const slot = trial ?? plan.committed;
  await boot(root);
  await writeFile(join(root, "proc/cmdline"), `console=ttyS0 sallyport.slot=${slot}\n`);
  return slot;
}
