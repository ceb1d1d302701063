// sysfs with a kernel that does not obey.
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "tap";
import { linuxUsbTree } from "../../../../hal/linux/usb/index.ts";
import type { UsbDevice, UsbTree } from "../../../../hal/ports.ts";
import { temporaryDirectory } from "../../../lab/runner/temporary.ts";
import { BAD_STICK, descriptorsOf, type FakeKernel, fakeKernel, STICK } from "../../../lab/fakes/usb-tree.ts";
import type { TestContext } from "../../../lab/runner/context.ts";

async function board(
  t: TestContext,
): Promise<{ kernel: FakeKernel; tree: UsbTree; stick: () => Promise<UsbDevice>; path: (name: string) => string }> {
  const kernel = fakeKernel(await temporaryDirectory(t));
  kernel.addController(1, 2, "0");
  kernel.plug("1-1", STICK);
  const tree = linuxUsbTree({ root: kernel.root, write: kernel.write });
  const stick = async (): Promise<UsbDevice> => {
    const device = (await tree.read()).devices.find(({ port }) => port === "1-1");
    if (device === undefined) throw new RangeError("no stick");
    return device;
  };
  return { kernel, tree, stick, path: (name) => join(kernel.root, "sys/bus/usb/devices", name) };
}

test("[LCK-7] the trap: a default above 2 lets everything in; it is never written, and counts as open where it is found", async (t) => {
  const { kernel, tree, path } = await board(t);
  await kernel.write(path("usb1/authorized_default"), "3");
  t.equal(kernel.read("usb1/authorized_default"), "1", "control: that is what the kernel makes of it");
  const written: string[] = [];
  const watched = linuxUsbTree({
    root: kernel.root,
    write: async (path, value) => {
      written.push(value);
      await kernel.write(path, value);
    },
  });
  await watched.setDefault("usb1", "none");
  await watched.setDefault("usb1", "hardwired");
  t.same(written, ["0", "2"]);
  // drivers/usb/core/hcd.c: "wireless", the fourth value of an old kernel
  writeFileSync(path("usb1/authorized_default"), "-1\n");
  t.equal((await tree.read()).controllers[0]?.authorizedDefault, undefined);
});

test("[LCK-7] a write that the kernel accepts and does not keep is a fault", async (t) => {
  const { kernel, stick } = await board(t);
  const deaf = linuxUsbTree({ root: kernel.root, write: async () => undefined });
  await t.rejects(deaf.setDefault("usb1", "hardwired"), { code: "usb.not-in-force", message: /reads "0"/u });
  await t.rejects(deaf.setDevice(await stick(), true), { code: "usb.not-in-force" });
  await t.rejects(deaf.setPort("1-1", true), { code: "usb.not-in-force" });
});

test("[LCK-32] a device that shows another appearance once it is authorized is shut out again", async (t) => {
  const { kernel, tree, stick, path } = await board(t);
  const device = await stick();
  kernel.onWrite("1-1/authorized", () => writeFileSync(path("1-1/descriptors"), descriptorsOf(BAD_STICK)));
  await t.rejects(tree.setDevice(device, true), { code: "usb.changed", message: /once it was authorized/u });
  t.equal(kernel.read("1-1/authorized"), "0");
});

test("[LCK-8] a device that was exchanged between the inspection and the authorization is not let in", async (t) => {
  const { kernel, tree, stick } = await board(t);
  const device = await stick();
  kernel.unplug("1-1");
  kernel.plug("1-1", STICK);
  await t.rejects(tree.setDevice(device, true), { code: "usb.changed", message: /before it was authorized/u });
  t.equal(kernel.read("1-1/authorized"), "0");
});

test("[LCK-8] another serial number means another device, and a space at its end is part of it", async (t) => {
  const { tree, stick, path } = await board(t);
  const device = await stick();
  writeFileSync(path("1-1/serial"), `${STICK.serial ?? ""} \n`);
  t.equal((await stick()).claims?.serial, `${STICK.serial ?? ""} `);
  await t.rejects(tree.setDevice(device, true), { code: "usb.changed" });
});

test("[LCK-8] a device with broken, endless or missing descriptors has no claims", async (t) => {
  const { stick, path } = await board(t);
  for (const bytes of [new Uint8Array(), descriptorsOf(STICK).slice(0, -1), new Uint8Array(70_000).fill(9)]) {
    writeFileSync(path("1-1/descriptors"), bytes);
    t.equal((await stick()).claims, undefined);
  }
  rmSync(path("1-1/descriptors"));
  t.equal((await stick()).claims, undefined);
});

test("[LCK-9] the two halves of a USB 3 socket know each other; a port without a switch says so", async (t) => {
  const { kernel, tree, path } = await board(t);
  kernel.addController(2, 2);
  kernel.joinPorts("1-1", "2-1");
  rmSync(path("usb2/2-0:1.0/usb2-port2/disable"));
  const { ports } = await tree.read();
  t.same(ports, [
    { name: "1-1", disabled: false, peer: "2-1" },
    { name: "1-2", disabled: false, peer: undefined },
    { name: "2-1", disabled: false, peer: "1-1" },
    { name: "2-2", disabled: undefined, peer: undefined },
  ]);
  await t.rejects(tree.setPort("2-2", true), { code: "usb.not-in-force", message: /Linux 6.0/u });
});

test("[LCK-7] a name that is not of the kernel's form reaches no path", async (t) => {
  const { tree, stick } = await board(t);
  for (const name of ["../1-1", "1-1/..", "", "usb1", "1-1:1.0"]) {
    await t.rejects(tree.setPort(name, true), { code: "usb.gone" });
    await t.rejects(tree.setDevice({ ...(await stick()), port: name }, false), { code: "usb.gone" });
  }
  for (const name of ["../usb1", "1-1", "usb"]) await t.rejects(tree.setDefault(name, "none"), { code: "usb.gone" });
});
