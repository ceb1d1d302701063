// The contract of BootChoice, with the boot loader that follows it.
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { createFileBootChoice, linuxFiles, createSystemdBootChoice } from "../../hal/linux/index.ts";
import type { BootChoice } from "../../hal/ports.ts";
import { powerOn } from "../lab/fakes/bootloader.ts";
import { makeEsp, powerOnSystemdBoot } from "../lab/fakes/systemd-boot.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";
import type { TestContext } from "../lab/runner/context.ts";

/** A machine whose slot a is committed and whose slot b may be tried. */
interface Subject {
  readonly choice: BootChoice;
  readonly powerOn: () => Promise<string>;
  /** The number of boots that a trial gets. */
  readonly tries: number;
}

async function withSystemdBoot(t: TestContext, tries: number): Promise<Subject> {
  const root = await temporaryDirectory(t);
  const esp = await makeEsp(root, { "gw_1_a.efi": "a", "gw_b.new": "b" });
  return { choice: createSystemdBootChoice({ esp, tries }), powerOn: () => powerOnSystemdBoot(root), tries };
}

const subjects: Readonly<Record<string, (t: TestContext) => Promise<Subject>>> = {
  fileBootChoice: async (t) => {
    const root = await temporaryDirectory(t);
    await mkdir(join(root, "slots"), { recursive: true });
    await writeFile(join(root, "slots/boot-choice"), "a\n");
    return { choice: createFileBootChoice(await linuxFiles(join(root, "slots"))), powerOn: () => powerOn(root), tries: 1 };
  },
  "systemdBootChoice, one try": (t) => withSystemdBoot(t, 1),
  "systemdBootChoice, two tries": (t) => withSystemdBoot(t, 2),
};

for (const [name, make] of Object.entries(subjects)) {
  test(`[OTA-34] ${name}: without a commit a trial ends, and every later boot is from the committed slot`, async (t) => {
    const { choice, powerOn, tries } = await make(t);
    t.same(await choice.read(), { committed: "a", trial: undefined });
    t.equal(await powerOn(), "a");
    await choice.tryOnce("b");
    t.same(await choice.read(), { committed: "a", trial: { slot: "b", used: false } });
    for (let boot = 1; boot <= tries; boot += 1) {
      t.equal(await powerOn(), "b");
      t.same(await choice.read(), { committed: "a", trial: { slot: "b", used: boot === tries } });
    }
    t.equal(await powerOn(), "a");
    t.equal(await powerOn(), "a");
    t.same(await choice.read(), { committed: "a", trial: { slot: "b", used: true } });
    await choice.cancel();
    t.same(await choice.read(), { committed: "a", trial: undefined });
    t.equal(await powerOn(), "a");
  });

  test(`[OTA-34] ${name}: a commit keeps the tried slot; the other one may be tried next and committed too`, async (t) => {
    const { choice, powerOn } = await make(t);
    for (const [from, to] of [
      ["a", "b"],
      ["b", "a"],
      ["a", "b"],
    ] as const) {
      t.equal(await powerOn(), from);
      await choice.tryOnce(to);
      t.equal(await powerOn(), to);
      await choice.commit(to);
      t.same(await choice.read(), { committed: to, trial: undefined });
      for (let boot = 0; boot < 3; boot += 1) t.equal(await powerOn(), to);
    }
  });

  test(`[OTA-34] ${name}: a try can be cancelled before and after it happened, and made again`, async (t) => {
    const { choice, powerOn } = await make(t);
    await choice.tryOnce("b");
    await choice.cancel();
    t.same(await choice.read(), { committed: "a", trial: undefined });
    t.equal(await powerOn(), "a");
    await choice.tryOnce("b");
    t.equal(await powerOn(), "b");
    await choice.cancel();
    t.equal(await powerOn(), "a");
    await choice.cancel();
    t.same(await choice.read(), { committed: "a", trial: undefined }, "cancelling nothing is no fault");
    await choice.tryOnce("b");
    await choice.tryOnce("b");
    t.equal(await powerOn(), "b");
  });

  test(`[OTA-34] ${name}: the committed slot can be committed again, which cancels a trial`, async (t) => {
    const { choice, powerOn } = await make(t);
    await choice.commit("a");
    t.same(await choice.read(), { committed: "a", trial: undefined });
    await choice.tryOnce("b");
    await choice.commit("a");
    t.same(await choice.read(), { committed: "a", trial: undefined });
    t.equal(await powerOn(), "a");
    await choice.tryOnce("b");
    t.equal(await powerOn(), "b");
    await choice.commit("b");
    await choice.commit("a");
    t.same(await choice.read(), { committed: "a", trial: undefined }, "back to what was committed before");
    t.equal(await powerOn(), "a");
  });

  test(`[OTA-34] ${name}: the committed slot cannot be tried`, async (t) => {
    const { choice, powerOn } = await make(t);
    await t.rejects(choice.tryOnce("a"), { code: "slot.in-use" });
    t.equal(await powerOn(), "a");
  });
}
