// Slots that are files.
import { chmod, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { twoSlots } from "../../../lab/worlds/chunked.ts";
import { imageOf } from "../../../lab/worlds/images.ts";
import { temporaryDirectory } from "../../../lab/runner/temporary.ts";

test("[OTA-33] the slot that runs is never written", async (t) => {
  const directory = await temporaryDirectory(t);
  const { slots, a } = await twoSlots(directory);
  t.equal(await slots.running(), "a");
  await t.rejects(slots.open("a", "root", 100), { code: "slot.in-use" });
  t.equal(await readFile(a, "utf8"), "the system that runs\n");
});

test("[OTA-33] a boot that named no slot, or two, leaves both slots alone", async (t) => {
  const directory = await temporaryDirectory(t);
  const { slots } = await twoSlots(directory);
  const cmdline = join(directory, "proc/cmdline");
  for (const line of [
    "quiet\n",
    "sallyport.slot=c\n",
    "sallyport.slot=a sallyport.slot=b\n",
    "xsallyport.slot=a\n",
    "sallyport.slot=\n",
    "",
  ]) {
    await writeFile(cmdline, line);
    await t.rejects(slots.running(), { code: "slot.unknown" }, line);
    await t.rejects(slots.open("b", "root", 100), { code: "slot.unknown" }, line);
  }
  await rm(cmdline);
  await t.rejects(slots.running(), { code: "slot.unknown" });
});

test("[OTA-33] bytes written at any offset are read back, across sector boundaries and at the end", async (t) => {
  const directory = await temporaryDirectory(t);
  const { slots, b } = await twoSlots(directory);
  const image = imageOf(300_001);
  const slot = await slots.open("b", "root", image.byteLength);
  t.equal((await stat(b)).size, image.byteLength, "nothing of an earlier, larger system stays behind the end");
  await slot.write(100_000, image.subarray(100_000));
  await slot.write(0, image.subarray(0, 100_000));
  await slot.sync();
  for (const [offset, length] of [
    [0, 1],
    [1, 4095],
    [4095, 2],
    [99_999, 150_000],
    [300_000, 1],
    [0, 300_001],
    [299_999, 100],
  ] as const) {
    const into = new Uint8Array(length);
    t.equal(await slot.read(offset, into), Math.min(length, image.byteLength - offset));
    t.ok(image.subarray(offset, offset + length).equals(into.subarray(0, image.byteLength - offset)), `${length} at ${offset}`);
  }
  t.equal(await slot.read(300_001, new Uint8Array(10)), 0, "nothing is read past the end");
  await slot.close();
  t.ok(image.equals(await readFile(b)));
});

test("[OTA-33] a part has one writer; the next one can open it when it is closed", async (t) => {
  const directory = await temporaryDirectory(t);
  const { slots } = await twoSlots(directory);
  const first = await slots.open("b", "root", 10);
  await t.rejects(slots.open("b", "root", 10), { code: "slot.busy" });
  const kernel = await slots.open("b", "kernel", 10);
  await first.close();
  await kernel.close();
  await (await slots.open("b", "root", 10)).close();
});

test("[OTA-33] a part that does not fit, is a link, or may be written by others is refused", async (t) => {
  const directory = await temporaryDirectory(t);
  const { slots, b } = await twoSlots(directory);
  await t.rejects(slots.open("b", "root", 67_108_865), { code: "slot.too-small" });
  const slot = await slots.open("b", "root", 10);
  await t.rejects(slot.write(8, Buffer.alloc(3)), { code: "slot.too-small" });
  await slot.close();
  await rm(b);
  await writeFile(join(directory, "target"), "kept");
  await symlink(join(directory, "target"), b);
  await t.rejects(slots.open("b", "root", 10), { code: "file.not-regular" });
  t.equal(await readFile(join(directory, "target"), "utf8"), "kept");
  await rm(b);
  await writeFile(b, "", { mode: 0o666 });
  await chmod(b, 0o666);
  await t.rejects(slots.open("b", "root", 10), { code: "file.untrusted-owner" });
  await chmod(b, 0o600);
  await t.resolves(slots.open("b", "root", 10), "a refusal leaves nothing locked");
});
