// The add-on that names the slot: releases are the same for both slots, so it lies beside the
// kernel image.
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { createPartitionSlots, createSystemdBootChoice } from "../../../../hal/linux/index.ts";
import { makeEsp } from "../../../lab/fakes/systemd-boot.ts";
import { temporaryDirectory } from "../../../lab/runner/temporary.ts";
import type { TestContext } from "../../../lab/runner/context.ts";

async function machine(t: TestContext) {
  const root = await temporaryDirectory(t);
  const esp = await makeEsp(root, { "gw_1_a.efi": "a", "gw_b.new": "b" });
  await mkdir(join(esp, "EFI/sallyport"), { recursive: true });
  for (const slot of ["a", "b"]) await writeFile(join(esp, `EFI/sallyport/slot-${slot}.addon.efi`), `addon of ${slot}`);
  const folder = join(esp, "EFI/Linux");
  const addon = (name: string) => readFile(join(folder, `${name}.extra.d/slot.addon.efi`), "utf8");
  return { root, esp, addon, names: async () => (await readdir(folder)).sort((a, b) => (a < b ? -1 : 1)) };
}

test("[OTA-33] a kernel on trial has its slot's add-on beside it, under a name without tries, and keeps it when it is committed", async (t) => {
  const { esp, addon, names } = await machine(t);
  const choice = createSystemdBootChoice({ esp, tries: 2 });
  await choice.tryOnce("b");
  t.equal(await addon("gw_2_b.efi"), "addon of b");
  await choice.commit("b");
  t.same(await names(), ["gw_1_a.efi", "gw_2_b.efi", "gw_2_b.efi.extra.d"]);
  await choice.tryOnce("a");
  t.equal(await addon("gw_3_a.efi"), "addon of a");
  await choice.cancel();
  t.equal(await addon("gw_0_a.efi"), "addon of a", "a withdrawn entry may be the only one left");
});

test("[OTA-33] an add-on torn by a power cut is written anew", async (t) => {
  const { esp, addon } = await machine(t);
  await mkdir(join(esp, "EFI/Linux/gw_2_b.efi.extra.d"));
  await writeFile(join(esp, "EFI/Linux/gw_2_b.efi.extra.d/slot.addon.efi"), "addon of a, and longer than it should be");
  await createSystemdBootChoice({ esp, tries: 2 }).tryOnce("b");
  t.equal(await addon("gw_2_b.efi"), "addon of b");
});

test("[OTA-33] the add-on is removed with its old kernel; the other slot's stays", async (t) => {
  const { root, esp, names } = await machine(t);
  const choice = createSystemdBootChoice({ esp, tries: 2 });
  await choice.tryOnce("b");
  await choice.commit("b");
  await choice.tryOnce("a");
  await choice.cancel();
  await mkdir(join(root, "proc"), { recursive: true });
  await writeFile(join(root, "proc/cmdline"), "sallyport.slot=b\n");
  const writer = await createPartitionSlots({ root, esp, kernelBytesMax: 1000 }).open("a", "kernel", 10);
  await writer.close();
  t.same(await names(), ["gw_2_b.efi", "gw_2_b.efi.extra.d", "gw_a.new"]);
});
