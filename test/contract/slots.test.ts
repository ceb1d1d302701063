// The contract of Slots.
import { mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { createPartitionSlots } from "../../hal/linux/index.ts";
import type { Slots } from "../../hal/ports.ts";
import type { SlotPart } from "../../hal/format/slots.ts";
import { twoSlots } from "../lab/worlds/chunked.ts";
import { imageOf } from "../lab/worlds/images.ts";
import { loopDevice, needsLoop } from "../lab/counterparts/loop.ts";
import { makeEsp } from "../lab/fakes/systemd-boot.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";
import type { TestContext } from "../lab/runner/context.ts";

/** A machine that runs from slot a, with an older system in slot b. */
interface Subject {
  readonly slots: Slots;
  readonly root: string;
  /** The path of a part of slot b. */
  readonly place: (part: SlotPart) => string;
}

const PARTITION_BYTES = 67_108_864;

const subjects: Readonly<Record<string, { readonly skip: string | false; readonly make: (t: TestContext) => Promise<Subject> }>> =
  {
    fileSlots: {
      skip: false,
      make: async (t) => {
        const root = await temporaryDirectory(t);
        const { slots } = await twoSlots(root);
        return { slots, root, place: (part) => join(root, "slots", part === "root" ? "b.img" : `b.${part}`) };
      },
    },
    partitionSlots: {
      skip: needsLoop(),
      make: async (t) => {
        const root = await temporaryDirectory(t);
        await mkdir(join(root, "proc"), { recursive: true });
        await mkdir(join(root, "sys/class"), { recursive: true });
        await mkdir(join(root, "dev/sallyport"), { recursive: true });
        await symlink("/sys/class/block", join(root, "sys/class/block"));
        await writeFile(join(root, "proc/cmdline"), "console=ttyS0 sallyport.slot=a quiet\n");
        const device = await loopDevice(t, join(root, "disk"), PARTITION_BYTES);
        await symlink(device, join(root, "dev/sallyport/root-b"));
        const esp = await makeEsp(root, { "gw_2_a.efi": "a", "gw_1_b.efi": "b" });
        const slots = createPartitionSlots({ root, esp, kernelBytesMax: PARTITION_BYTES });
        return { slots, root, place: (part) => (part === "kernel" ? join(esp, "EFI/Linux/gw_b.new") : device) };
      },
    },
  };

for (const [name, { skip, make }] of Object.entries(subjects)) {
  test(`[OTA-33] ${name}: writes at any offset and reads back the device's content`, { skip }, async (t) => {
    const { slots, place } = await make(t);
    t.equal(await slots.running(), "a");
    for (const part of ["root", "kernel"] as const) {
      const image = imageOf(300_001);
      const writer = await slots.open("b", part, image.byteLength);
      await writer.write(100_000, image.subarray(100_000));
      await writer.write(0, image.subarray(0, 100_000));
      await writer.sync();
      for (const [offset, length] of [
        [0, 1],
        [4095, 2],
        [99_999, 150_000],
        [299_999, 100],
        [0, 300_001],
      ] as const) {
        const into = new Uint8Array(length);
        t.equal(await writer.read(offset, into), Math.min(length, image.byteLength - offset));
        t.ok(image.subarray(offset, offset + length).equals(into.subarray(0, image.byteLength - offset)), `${part} at ${offset}`);
      }
      t.equal(await writer.read(300_001, new Uint8Array(10)), 0, "nothing is past the end");
      await t.rejects(writer.write(300_000, Buffer.alloc(2)), { code: "slot.too-small" });
      await writer.close();
      t.ok(image.equals((await readFile(place(part))).subarray(0, image.byteLength)), "others see it too");
    }
  });

  test(
    `[OTA-33] ${name}: the running slot is never written, and no slot is when the boot did not name it`,
    { skip },
    async (t) => {
      const { slots, root, place } = await make(t);
      const before = await readFile(place("root"));
      for (const part of ["root", "kernel"] as const) await t.rejects(slots.open("a", part, 100), { code: "slot.in-use" });
      for (const line of ["quiet\n", "sallyport.slot=c\n", "sallyport.slot=a sallyport.slot=b\n", ""]) {
        await writeFile(join(root, "proc/cmdline"), line);
        await t.rejects(slots.running(), { code: "slot.unknown" }, line);
        await t.rejects(slots.open("b", "root", 100), { code: "slot.unknown" }, line);
      }
      t.ok(before.equals(await readFile(place("root"))));
    },
  );

  test(`[OTA-33] ${name}: a part has one writer and takes what fits; a refusal leaves nothing locked`, { skip }, async (t) => {
    const { slots } = await make(t);
    const first = await slots.open("b", "root", 10);
    await t.rejects(slots.open("b", "root", 10), { code: "slot.busy" });
    const kernel = await slots.open("b", "kernel", 10);
    await kernel.close();
    await first.close();
    for (const part of ["root", "kernel"] as const)
      await t.rejects(slots.open("b", part, PARTITION_BYTES + 1), { code: "slot.too-small" });
    await (await slots.open("b", "root", PARTITION_BYTES)).close();
  });
}
