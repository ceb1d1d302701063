// The power goes at every call of every change of systemd-boot's entries, on a file system that promises nothing.
import { join } from "node:path";
import { test } from "tap";
import { systemdBootChoice } from "../../../../hal/linux/index.ts";
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
  /** When nothing was cut. */
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
  test(`[OTA-34] power cut at ${name}: what boots is a system that may, and the change can be made again`, async (t) => {
    const root = await temporaryDirectory(t);
    const esp = await makeEsp(root, {});
    const directory = join(esp, "EFI/Linux");
    const start: FatState = new Map(Object.entries(files));
    const seen = new Set<string>();
    for (let stopAt = 0, isCut = true; isCut; stopAt += 1) {
      await restoreFat(start, directory);
      const disk = await fatDisk(directory, stopAt);
      isCut = await change(systemdBootChoice({ esp, tries: 2, ops: disk.ops })).then(
        () => false,
        () => true,
      );
      // the boot loader sees what the cut left, Linux what fsck made of it
      for (const state of disk.states().flatMap((left) => [left, ...afterFsck(left)])) {
        const key = `${isCut ? "cut" : "done"} ${JSON.stringify(Object.fromEntries(state))}`;
        if (seen.has(key)) continue;
        seen.add(key);
        await restoreFat(state, directory);
        const choice = systemdBootChoice({ esp, tries: 2 });
        const plan = await choice.read();
        t.ok(boots.includes(plan.committed), `${key}: the plan says ${JSON.stringify(plan)}`);
        const slot = await powerOnSystemdBoot(root);
        t.ok(isCut ? boots.includes(slot) : slot === whole, `${key} boots ${slot}`);
        await restoreFat(state, directory);
        // made again it is done, or its kernel is lost and it says so
        const again = await change(systemdBootChoice({ esp, tries: 2, ops: (await fatDisk(directory)).ops })).then(
          () => "done",
          (error: unknown) => (error instanceof Error && "code" in error ? String(error.code) : "?"),
        );
        if (again === "done") t.ok(boots.includes(await powerOnSystemdBoot(root)), `${key}: made again`);
        else t.match(again, /^(?:boot\.plan-invalid|slot\.in-use)$/u, `${key}: made again`);
      }
    }
    t.ok(seen.size > 3, `${seen.size} states were looked at`);
  });
}
