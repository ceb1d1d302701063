// The boot choice and a boot loader that follows it.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { createFileBootChoice, linuxFiles } from "../../../../hal/linux/index.ts";
import { decodeBootPlan, encodeBootPlan } from "../../../../hal/format/slots.ts";
import { powerOn } from "../../../lab/fakes/bootloader.ts";
import { fakeFiles } from "../../../lab/fakes/files.ts";
import { temporaryDirectory } from "../../../lab/runner/temporary.ts";
import type { TestContext } from "../../../lab/runner/context.ts";

async function machine(t: TestContext) {
  const root = await temporaryDirectory(t);
  await mkdir(join(root, "slots"), { recursive: true });
  await writeFile(join(root, "slots/boot-choice"), "a\n");
  return { root, choice: createFileBootChoice(await linuxFiles(join(root, "slots"))) };
}

test("[OTA-34] a slot is tried once; without a commit every later boot is from the old slot", async (t) => {
  const { root, choice } = await machine(t);
  t.equal(await powerOn(root), "a");
  await choice.tryOnce("b");
  t.same(await choice.read(), { committed: "a", trial: { slot: "b", used: false } });
  t.equal(await powerOn(root), "b");
  t.match(await readFile(join(root, "proc/cmdline"), "utf8"), /sallyport\.slot=b/);
  t.same(await choice.read(), { committed: "a", trial: { slot: "b", used: true } });
  t.equal(await powerOn(root), "a");
  t.equal(await powerOn(root), "a");
});

test("[OTA-34] a commit keeps the tried slot; the other one may be tried next", async (t) => {
  const { root, choice } = await machine(t);
  await choice.tryOnce("b");
  t.equal(await powerOn(root), "b");
  await choice.commit("b");
  t.equal(await powerOn(root), "b");
  await choice.tryOnce("a");
  t.equal(await powerOn(root), "a");
  t.equal(await powerOn(root), "b");
});

test("[OTA-34] a trial that has not booted can be cancelled; the committed slot cannot be tried", async (t) => {
  const { root, choice } = await machine(t);
  await choice.tryOnce("b");
  await choice.cancel();
  t.equal(await powerOn(root), "a");
  await t.rejects(choice.tryOnce("a"), { code: "slot.in-use" });
});

test("[OTA-34] a write that fails leaves the plan before it", async (t) => {
  const files = fakeFiles();
  files.contents.set("boot-choice", Buffer.from("a\n"));
  const choice = createFileBootChoice(files);
  files.faults.failAt(1, "file.no-space");
  await t.rejects(choice.tryOnce("b"), { code: "file.no-space" });
  t.same(await choice.read(), { committed: "a", trial: undefined });
});

test("[OTA-34] a malformed boot choice is refused, not guessed", async (t) => {
  const files = fakeFiles();
  const choice = createFileBootChoice(files);
  await t.rejects(choice.read(), { code: "boot.plan-invalid" });
  for (const text of ["", "a", "c\n", "a try a\n", "a try\n", "a  try b\n", "a\nb\n", "A\n"]) {
    files.contents.set("boot-choice", Buffer.from(text));
    await t.rejects(choice.read(), { code: "boot.plan-invalid" }, JSON.stringify(text));
  }
  for (const text of ["a\n", "b\n", "a try b\n", "b tried a\n"]) t.equal(encodeBootPlan(decodeBootPlan(text)), text);
});
