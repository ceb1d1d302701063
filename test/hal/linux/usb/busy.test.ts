// A kernel that is busy with a hub: what is plugged in there does not answer, and whoever asks about the hub's ports waits. Seen on a real one, for minutes.
import { test } from "tap";
import { createPatience } from "../../../../hal/linux/usb/patience.ts";
import { linuxUsbTree } from "../../../../hal/linux/usb/index.ts";
import type { UsbTree } from "../../../../hal/ports.ts";
import { temporaryDirectory } from "../../../lab/temporary.ts";
import { type FakeKernel, fakeKernel, STICK } from "../../../lab/usb-tree.ts";

const WAIT_MS = 50;

interface Busy {
  readonly tree: UsbTree;
  readonly kernel: FakeKernel;
  /** Hubs whose lock is held, and what waits for it. */
  readonly held: Set<string>;
  readonly waiting: (() => void)[];
}

async function board(t: { teardown(remove: () => Promise<void>): void }): Promise<Busy> {
  const kernel = fakeKernel(await temporaryDirectory(t));
  kernel.addController(1, 3, "0");
  kernel.addController(2, 1, "0");
  kernel.plug("2-1", STICK);
  const [held, waiting] = [new Set<string>(), [] as (() => void)[]];
  const lock = async (path: string): Promise<void> => {
    if (path.endsWith("/disable") && [...held].some((hub) => path.includes(`/${hub}/`)))
      await new Promise<void>((resolve) => waiting.push(resolve));
  };
  const read = async (path: string): Promise<string | undefined> => {
    await lock(path);
    return kernel.read(path.slice(`${kernel.root}/sys/bus/usb/devices/`.length));
  };
  const write = async (path: string, value: string): Promise<void> => {
    await lock(path);
    await kernel.write(path, value);
  };
  return { kernel, held, waiting, tree: linuxUsbTree({ root: kernel.root, read, write, waitMs: WAIT_MS }) };
}

const switches = async (tree: UsbTree): Promise<object> =>
  Object.fromEntries((await tree.read()).ports.map(({ name, disabled }) => [name, disabled]));

test("[LCK-9] a hub that keeps the kernel busy keeps nobody else waiting: its ports are as they were, all else is looked at", async (t) => {
  const { tree, kernel, held, waiting } = await board(t);
  await tree.setPort("1-2", true);
  const before = { "1-1": false, "1-2": true, "1-3": false, "2-1": false };
  t.strictSame(await switches(tree), before);
  held.add("usb1");
  for (let turn = 0; turn < 5; turn += 1) t.strictSame(await switches(tree), before);
  t.equal(waiting.length, 1, "one call waits, not one more a turn: each takes a thread");
  await t.rejects(tree.setPort("1-1", true), { code: "usb.not-in-force", message: /does not answer/u });
  const [stick] = (await tree.read()).devices;
  if (stick === undefined) throw new RangeError("no stick");
  await tree.setDevice(stick, true);
  await tree.setPort("2-1", true);
  t.equal(kernel.read("usb2/2-0:1.0/usb2-port1/disable"), "1", "the other hub obeys");

  held.clear();
  for (const free of waiting.splice(0)) free();
  await new Promise((resolve) => setImmediate(resolve));
  await tree.setPort("1-2", false);
  t.strictSame(
    await switches(tree),
    { "1-1": false, "1-2": false, "1-3": false, "2-1": true },
    "it is asked again once it answers",
  );
});

test("[LCK-9] what a busy kernel never told is not known, and is not taken for shut", async (t) => {
  const { tree, held } = await board(t);
  held.add("usb1");
  t.strictSame(await switches(tree), { "1-1": undefined, "1-2": undefined, "1-3": undefined, "2-1": false });
});

test("[LCK-7] two calls may wait at a time, a third is not made; what fails fails as it did", async (t) => {
  const patience = createPatience(WAIT_MS);
  const never = (): Promise<never> => new Promise(() => undefined);
  for (const hub of ["usb1", "usb2"]) await t.rejects(patience.within(hub, never), { code: "usb.unreadable" });
  let called = false;
  const call = async (): Promise<void> => {
    called = true;
  };
  for (const hub of ["usb1", "usb3"]) await t.rejects(patience.within(hub, call), { code: "usb.unreadable" });
  t.equal(called, false);
  await t.rejects(
    createPatience(WAIT_MS).within("usb1", () => Promise.reject(new RangeError("no"))),
    new RangeError("no"),
  );
  t.equal(await createPatience(WAIT_MS).within("usb1", async () => 7), 7);
});
