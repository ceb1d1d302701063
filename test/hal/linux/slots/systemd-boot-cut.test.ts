// Power cuts at every call of every change to systemd-boot's entries, on a file system that
// guarantees nothing.
import { join } from "node:path";
import { test } from "tap";
import { createSystemdBootChoice } from "../../../../hal/linux/index.ts";
import type { BootChoice } from "../../../../hal/ports.ts";
import { afterFsck, fatDisk, type FatState, restoreFat } from "../../../lab/fakes/fat-disk.ts";
import { makeEsp, powerOnSystemdBoot } from "../../../lab/fakes/systemd-boot.ts";
import { temporaryDirectory } from "../../../lab/runner/temporary.ts";

const A = "sallyport.slot=a";
const B = "sallyport.slot=b";

interface Situation {
  readonly name: string;
  readonly files: Readonly<Record<string, string>>;
  readonly change: (choice: BootChoice) => Promise<void>;
  /** Slots that may boot after a power cut. */
  readonly boots: readonly string[];
  /** The slot when nothing was cut. */
  readonly whole: string;
}

const situations: readonly Situation[] = [
  {
    name: "a first try",
    files: { "gw_1_a.efi": A, "gw_b.new": B },
    change: (c) => c.tryOnce("b"),
    boots: ["a", "b"],
    whole: "b",
  },
  {
    name: "a try of what was committed before",
    files: { "gw_1_a.efi": A, "gw_2_b.efi": B },
    change: (c) => c.tryOnce("a"),
    boots: ["a", "b"],
    whole: "a",
  },
  {
    name: "a commit",
    files: { "gw_1_a.efi": A, "gw_2_b+1-1.efi": B },
    change: (c) => c.commit("b"),
    boots: ["a", "b"],
    whole: "b",
  },
  {
    name: "a commit of a last try",
    files: { "gw_1_a.efi": A, "gw_2_b+0-2.efi": B },
    change: (c) => c.commit("b"),
    boots: ["a", "b"],
    whole: "b",
  },
  {
    name: "calling off",
    files: { "gw_1_a.efi": A, "gw_2_b+2.efi": B },
    change: (c) => c.cancel(),
    boots: ["a", "b"],
    whole: "a",
  },
  {
    name: "calling off what is used",
    files: { "gw_1_a.efi": A, "gw_2_b+0-2.efi": B },
    change: (c) => c.cancel(),
    boots: ["a"],
    whole: "a",
  },
  {
    name: "going back by an order",
    files: { "gw_1_a.efi": A, "gw_2_b.efi": B },
    change: (c) => c.commit("a"),
    boots: ["a", "b"],
    whole: "a",
  },
];

for (const { name, files, change, boots, whole } of situations) {
  test(`[OTA-34] power cut at ${name}: a system boots that may boot, and the change can be repeated`, async (t) => {
    const root = await temporaryDirectory(t);
    const esp = await makeEsp(root, {});
    const directory = join(esp, "EFI/Linux");
    const start: FatState = new Map(Object.entries(files));
    const checked = new Set<string>();
    for (let stopAt = 0, isCut = true; isCut; stopAt += 1) {
      await restoreFat(start, directory);
      const disk = await fatDisk(directory, stopAt);
      isCut = await change(createSystemdBootChoice({ esp, tries: 2, ops: disk.ops })).then(
        () => false,
        () => true,
      );
      // the boot loader sees what the cut left, Linux what fsck made of it
      for (const state of disk.states().flatMap((left) => [left, ...afterFsck(left)])) {
        const key = `${isCut ? "cut" : "done"} ${JSON.stringify(Object.fromEntries(state))}`;
        if (checked.has(key)) continue;
        checked.add(key);
        await restoreFat(state, directory);
        const choice = createSystemdBootChoice({ esp, tries: 2 });
        const plan = await choice.read();
        t.ok(boots.includes(plan.committed), `${key}: the plan says ${JSON.stringify(plan)}`);
        const slot = await powerOnSystemdBoot(root);
        t.ok(isCut ? boots.includes(slot) : slot === whole, `${key} boots ${slot}`);
        await restoreFat(state, directory);
        // repeating the change completes it, or reports that its kernel is lost
        const repeated = await change(createSystemdBootChoice({ esp, tries: 2, ops: (await fatDisk(directory)).ops })).then(
          () => "done",
          (error: unknown) => (error instanceof Error && "code" in error ? String(error.code) : "?"),
        );
        if (repeated === "done") t.ok(boots.includes(await powerOnSystemdBoot(root)), `${key}: repeated`);
        else t.match(repeated, /^(?:boot\.plan-invalid|slot\.in-use)$/u, `${key}: repeated`);
      }
    }
    t.ok(checked.size > 3, `${checked.size} states were checked`);
  });
}
