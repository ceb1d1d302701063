// Slots on partitions beyond the contract suite: the old kernel is removed first, and anything that
// is not a partition is refused.
import { mkdir, readdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { createPartitionSlots, createSystemdBootChoice } from "../../../../hal/linux/index.ts";
import { loopDevice, needsLoop } from "../../../lab/counterparts/loop.ts";
import { makeEsp, powerOnSystemdBoot } from "../../../lab/fakes/systemd-boot.ts";
import { temporaryDirectory } from "../../../lab/runner/temporary.ts";
import type { TestContext } from "../../../lab/runner/context.ts";

const skip = needsLoop();

async function machine(t: TestContext, images: Readonly<Record<string, "a" | "b">>) {
  const root = await temporaryDirectory(t);
  for (const folder of ["proc", "sys/class", "dev/sallyport"]) await mkdir(join(root, folder), { recursive: true });
  await symlink("/sys/class/block", join(root, "sys/class/block"));
  await writeFile(join(root, "proc/cmdline"), "sallyport.slot=a\n");
  const esp = await makeEsp(root, images);
  const slots = createPartitionSlots({ root, esp, kernelBytesMax: 1_048_576 });
  const kernels = async () => (await readdir(join(esp, "EFI/Linux"))).sort();
  return { root, esp, slots, kernels, link: (name: string) => join(root, "dev/sallyport", name) };
}

test(
  "[OTA-33] the old kernel of a slot is removed before the slot is written; the new one boots only when it is tried",
  { skip },
  async (t) => {
    const { root, esp, slots, kernels, link } = await machine(t, { "gw_2_a.efi": "a", "gw_1_b.efi": "b", "gw_b.new": "b" });
    await symlink(await loopDevice(t, join(root, "disk"), 1_048_576), link("root-b"));
    const writer = await slots.open("b", "root", 4096);
    t.same(await kernels(), ["gw_2_a.efi"]);
    await writer.close();
    const kernel = await slots.open("b", "kernel", 16);
    await kernel.write(0, Buffer.from("sallyport.slot=b"));
    await kernel.sync();
    await kernel.close();
    t.same(await kernels(), ["gw_2_a.efi", "gw_b.new"]);
    t.equal(await powerOnSystemdBoot(root), "a");
    await createSystemdBootChoice({ esp, tries: 2 }).tryOnce("b");
    t.same(await kernels(), ["gw_2_a.efi", "gw_3_b+2.efi"]);
    t.equal(await powerOnSystemdBoot(root), "b");
  },
);

test("[OTA-33] during a trial the committed slot is not written, because the boot loader falls back to it", async (t) => {
  const { root, slots, kernels } = await machine(t, { "gw_1_a.efi": "a", "gw_2_b+1-1.efi": "b" });
  await writeFile(join(root, "proc/cmdline"), "sallyport.slot=b\n");
  await t.rejects(slots.open("a", "kernel", 10), { code: "slot.in-use" });
  t.same(await kernels(), ["gw_1_a.efi", "gw_2_b+1-1.efi"]);
});

test("[OTA-33] something that is not a partition is refused, and the kernel stays", async (t) => {
  const { root, slots, kernels, link } = await machine(t, { "gw_2_a.efi": "a", "gw_1_b.efi": "b" });
  await t.rejects(slots.open("b", "root", 10), { code: "slot.write-failed" }, "there is no such partition");
  await writeFile(join(root, "file"), "kept");
  await symlink(join(root, "file"), link("root-b"));
  await t.rejects(slots.open("b", "root", 10), { code: "file.not-regular" });
  t.same(await kernels(), ["gw_1_b.efi", "gw_2_a.efi"]);
});

test("[OTA-33] a partition that something else holds is refused", { skip }, async (t) => {
  const { root, slots, link } = await machine(t, { "gw_2_a.efi": "a" });
  const device = await loopDevice(t, join(root, "disk"), 1_048_576);
  await symlink(device, link("root-b"));
  const other = await machine(t, { "gw_2_a.efi": "a" });
  await symlink(device, other.link("root-b"));
  const writer = await other.slots.open("b", "root", 10);
  await t.rejects(slots.open("b", "root", 10), { code: "slot.busy" });
  await writer.close();
  await (await slots.open("b", "root", 10)).close();
});
