// A kernel that is busy with a hub: what is plugged in there does not answer, and whoever asks about the hub's ports waits. Seen on a real one, for minutes.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "tap";
import { Fault } from "../../../../hal/fault.ts";
import { readAttribute } from "../../../../hal/linux/usb/attributes.ts";
import { linuxUsbTree } from "../../../../hal/linux/usb/index.ts";
import { createBoundedAccess } from "../../../../hal/linux/usb/bounded-access.ts";
import type { UsbDevice, UsbTree } from "../../../../hal/ports.ts";
import { eventually } from "../../../lab/runner/process.ts";
import { temporaryDirectory } from "../../../lab/runner/temporary.ts";
import { BAD_STICK, descriptorsOf, type FakeKernel, fakeKernel, HUB, KEYBOARD, STICK } from "../../../lab/fakes/usb-tree.ts";
import type { TestContext } from "../../../lab/runner/context.ts";

const WAIT_MS = 200;

interface Busy {
  readonly tree: UsbTree;
  readonly kernel: FakeKernel;
  /** Ends of the paths of what waits: `disable` of all ports, `/2-1/serial` of one device. */
  readonly held: Set<string>;
  /** Attributes that the kernel fails to read, likewise. */
  readonly failing: Set<string>;
  /** What waits now. */
  readonly waiting: { readonly path: string; readonly go: () => void }[];
  /** The kernel gets round to all of that. */
  readonly release: () => void;
  /** Every attribute that was asked for. */
  readonly asked: string[];
  readonly device: (port: string) => Promise<UsbDevice>;
  readonly showOther: (port: string) => void;
}

/** Two controllers that let nothing in, and a stick at the second. */
async function board(t: TestContext): Promise<Busy> {
  const kernel = fakeKernel(await temporaryDirectory(t));
  kernel.addController(1, 3, "0");
  kernel.addController(2, 1, "0");
  kernel.plug("2-1", STICK);
  const [held, failing] = [new Set<string>(), new Set<string>()];
  const waiting: { readonly path: string; readonly go: () => void }[] = [];
  const asked: string[] = [];
  const is = (path: string, ends: Set<string>): boolean => [...ends].some((end) => path.endsWith(end));
  const lock = async (path: string): Promise<void> => {
    if (is(path, held)) await new Promise<void>((go) => waiting.push({ path, go }));
  };
  const read = async (path: string): Promise<string | undefined> => {
    asked.push(path);
    if (is(path, failing)) throw new Fault("usb.unreadable", `read "${path}": EIO`);
    if (!path.endsWith("/authorized")) await lock(path); // sysfs.c takes the lock for a write of it only
    return await readAttribute(path);
  };
  const write = async (path: string, value: string): Promise<void> => {
    await lock(path);
    await kernel.write(path, value);
  };
  const tree = linuxUsbTree({ root: kernel.root, read, write, waitMs: WAIT_MS });
  return {
    tree,
    kernel,
    held,
    failing,
    waiting,
    release: () => {
      held.clear();
      for (const { go } of waiting.splice(0)) go();
    },
    asked,
    device: async (port) => {
      const found = (await tree.read()).devices.find((one) => one.port === port);
      if (found === undefined) throw new RangeError(`nothing at ${port}`);
      return found;
    },
    showOther: (port) => writeFileSync(join(kernel.root, "sys/bus/usb/devices", port, "descriptors"), descriptorsOf(BAD_STICK)),
  };
}

const switches = async (tree: UsbTree): Promise<object> =>
  Object.fromEntries((await tree.read()).ports.map(({ name, disabled }) => [name, disabled]));

const portsOf = (hub: string, ports: number): readonly string[] =>
  Array.from({ length: ports }, (_, n) => `/${hub}-port${n + 1}/disable`);

/** Once the kernel is not busy there any more. */
const obeys = (work: () => Promise<void>): Promise<true> =>
  eventually("the kernel obeys", () => work().then(() => true as const));

const comes = (what: string, holds: () => boolean): Promise<true> => eventually(what, async () => (holds() ? true : undefined));

function hold(held: Set<string>, paths: readonly string[]): void {
  for (const path of paths) held.add(path);
}

test("[LCK-9] a hub that keeps the kernel busy keeps nobody else waiting: its ports are as they were, all else is looked at", async (t) => {
  const { tree, kernel, held, waiting, release, device } = await board(t);
  await tree.setPort("1-2", true);
  const before = { "1-1": false, "1-2": true, "1-3": false, "2-1": false };
  t.strictSame(await switches(tree), before);
  hold(held, portsOf("usb1", 3));
  for (let turn = 0; turn < 5; turn += 1) t.strictSame(await switches(tree), before);
  t.equal(waiting.length, 1, "one call waits, not one more a turn: each takes a thread");
  await t.rejects(tree.setPort("1-1", true), { code: "usb.not-in-force", message: /does not answer/u });
  await tree.setDevice(await device("2-1"), true);
  await tree.setPort("2-1", true);
  t.equal(kernel.read("usb2/2-0:1.0/usb2-port1/disable"), "1", "the other hub obeys");

  release();
  await obeys(() => tree.setPort("1-2", false));
  t.strictSame(
    await switches(tree),
    { "1-1": false, "1-2": false, "1-3": false, "2-1": true },
    "it is asked again once it answers",
  );
});

test("[LCK-9] what a busy kernel never told is not known, and is not taken for shut", async (t) => {
  const { tree, held } = await board(t);
  hold(held, portsOf("usb1", 3));
  t.strictSame(await switches(tree), { "1-1": undefined, "1-2": undefined, "1-3": undefined, "2-1": false });
});

test("[LCK-9] a switch that we set is what a busy hub's port is told to be, also when it was set late", async (t) => {
  const { tree, held, release } = await board(t);
  await tree.setPort("1-2", true);
  t.match(await switches(tree), { "1-2": true });
  await tree.setPort("1-2", false);
  hold(held, portsOf("usb1", 3));
  t.match(await switches(tree), { "1-2": false });
  release();
  await obeys(() => tree.setPort("1-3", false));
  hold(held, portsOf("usb1", 3));
  await t.rejects(tree.setPort("1-2", true), { code: "usb.not-in-force" });
  release();
  await obeys(() => tree.setPort("1-3", false));
  hold(held, portsOf("usb1", 3));
  t.match(await switches(tree), { "1-2": true });
});

test("[LCK-9] another hub in the place of one has no switch that was set at that one", async (t) => {
  const { tree, kernel, held } = await board(t);
  const plugHub = async (): Promise<void> => {
    kernel.plug("1-1", HUB, 2);
    await kernel.write(join(kernel.root, "sys/bus/usb/devices/1-1/authorized"), "1");
  };
  await plugHub();
  await tree.setPort("1-1.2", true);
  t.match(await switches(tree), { "1-1.2": true });
  kernel.unplug("1-1");
  await plugHub();
  hold(held, portsOf("1-1", 2));
  t.strictSame((await tree.read()).ports.find(({ name }) => name === "1-1.2")?.disabled, undefined);
});

test("[LCK-9] a switch that can't be read is not known, whatever it was: only a busy kernel is told from memory", async (t) => {
  const { tree, failing, held } = await board(t);
  await tree.setPort("1-2", true);
  t.match(await switches(tree), { "1-2": true });
  failing.add("/usb1-port2/disable");
  t.strictSame(await switches(tree), { "1-1": false, "1-2": undefined, "1-3": false, "2-1": false });
  failing.clear();
  held.add("/usb1-port2/disable");
  t.match(await switches(tree), { "1-2": undefined }, "nor from before it could not be read");
});

test("[LCK-8] a device of a busy kernel is as it was under its number, but for what needs no answer", async (t) => {
  const { tree, kernel, held, device } = await board(t);
  const before = await device("2-1");
  held.add("/2-1/serial");
  t.strictSame(await device("2-1"), before);
  await kernel.write(join(kernel.root, "sys/bus/usb/devices/2-1/authorized"), "1");
  t.strictSame(await device("2-1"), { ...before, authorized: true });
  kernel.unplug("2-1");
  kernel.plug("2-1", STICK);
  const other = await device("2-1");
  t.strictSame([other.number > before.number, other.claims], [true, undefined], "another device is not taken for it");
  t.equal((await tree.read()).ports.length, 4);
  kernel.unplug("2-1");
  t.strictSame((await tree.read()).devices, []);
  kernel.plug("2-1", STICK);
  writeFileSync(join(kernel.root, "sys/bus/usb/devices/2-1/devnum"), `${before.number}\n`); // a controller that came anew counts from the start
  t.equal((await device("2-1")).claims, undefined, "what was seen to go is forgotten");
});

test("[LCK-8] a device that never answered, or can't be read, has no claims and keeps no other from being looked at", async (t) => {
  for (const way of ["held", "failing"] as const) {
    const { tree, kernel, device, ...ways } = await board(t);
    kernel.plug("1-1", KEYBOARD);
    ways[way].add("/1-1/serial");
    const { devices, ports } = await tree.read();
    t.strictSame(
      devices.map(({ port, claims }) => [port, claims?.serial]),
      [
        ["1-1", undefined],
        ["2-1", STICK.serial],
      ],
    );
    t.strictSame([devices[0]?.claims, ports.length], [undefined, 4]);
    ways[way].clear();
    t.equal((await device("2-1")).claims?.serial, STICK.serial);
    ways.failing.add("/2-1/serial");
    t.equal((await device("2-1")).claims, undefined, "what failed to be read is not told from memory");
  }
});

test("[LCK-8] a device that shows another face once it is let in, and then does not answer, is shut out again", async (t) => {
  for (const way of ["held", "failing"] as const) {
    const { tree, kernel, device, showOther, release, ...ways } = await board(t);
    const stick = await device("2-1");
    kernel.onWrite("2-1/authorized", () => {
      showOther("2-1");
      ways[way].add("/2-1/serial");
    });
    await t.rejects(tree.setDevice(stick, true), { code: way === "held" ? "usb.busy" : "usb.unreadable" });
    t.equal(kernel.read("2-1/authorized"), "0", way);
    t.equal((await device("2-1")).claims, undefined, "nor is it told from memory what it claims");
    release();
  }
});

test("[LCK-8] a device that can't be shut out again is told with what it was to be shut out for, and is one without claims", async (t) => {
  const { tree, kernel, device, showOther, held, release } = await board(t);
  const stick = await device("2-1");
  kernel.onWrite("2-1/authorized", () => {
    showOther("2-1");
    held.add("/2-1/authorized");
  });
  await t.rejects(tree.setDevice(stick, true), {
    code: "usb.changed",
    message: /once it was authorized; and it may still be let in/u,
  });
  held.add("/2-1/serial");
  t.match(await device("2-1"), { authorized: true, claims: undefined });
  release();
  await comes("it is shut out as soon as the kernel gets round to it", () => kernel.read("2-1/authorized") === "0");
});

test("[LCK-8] a device that is let in late is looked at then: shut out if it is another, let in if it is not", async (t) => {
  for (const isOther of [true, false]) {
    const { tree, kernel, device, showOther, held, asked, release } = await board(t);
    const looks = (): number => asked.filter((path) => path.endsWith("/2-1/serial")).length;
    const stick = await device("2-1");
    if (isOther) kernel.onWrite("2-1/authorized", () => showOther("2-1"));
    held.add("/2-1/authorized");
    await t.rejects(tree.setDevice(stick, true), { code: "usb.not-in-force", message: /does not answer/u });
    t.equal(kernel.read("2-1/authorized"), "0", "control: not yet");
    const before = looks();
    release();
    await comes("it is looked at", () => looks() > before);
    await comes("it is as it should be", () => kernel.read("2-1/authorized") === (isOther ? "0" : "1"));
    t.match(await device("2-1"), { authorized: !isOther });
  }
});

test("[LCK-8] a write that fails may have let the device in: it is shut out", async (t) => {
  const { kernel, device } = await board(t);
  const stick = await device("2-1");
  const tree = linuxUsbTree({
    root: kernel.root,
    write: async (path, value) => {
      await kernel.write(path, value);
      if (value === "1") throw Object.assign(new RangeError("EPIPE: broken pipe, write"), { code: "EPIPE" }); // set_configuration stalled
    },
  });
  await t.rejects(tree.setDevice(stick, true), { code: "usb.not-in-force", message: /EPIPE/u });
  t.equal(kernel.read("2-1/authorized"), "0");
});

test("[LCK-7] with as much waiting as may, a device can be shut out, and what is plugged in at a new controller stays out", async (t) => {
  const { tree, kernel, held, waiting, release } = await board(t);
  kernel.addController(3, 1, "1");
  kernel.plug("3-1", STICK);
  hold(held, [...portsOf("usb1", 3), ...portsOf("usb2", 1)]);
  const stick = (await tree.read()).devices.find(({ port }) => port === "3-1");
  t.equal(waiting.length, 2);
  await tree.setDefault("usb3", "none");
  t.equal(kernel.read("usb3/authorized_default"), "0");
  if (stick === undefined) throw new RangeError("no stick");
  await tree.setDevice(stick, false);
  t.equal(kernel.read("3-1/authorized"), "0");
  await t.rejects(tree.setDevice(stick, true), {
    code: "usb.busy",
    message: /"3-1": not asked, as it is busy at "usb1", "usb2"/u,
  });
  release();
  await obeys(() => tree.setDevice(stick, true));
});

test("[LCK-7] two calls may wait at a time, a third is not made; what fails fails as it did", async (t) => {
  const patience = createBoundedAccess(WAIT_MS, 2);
  const never = (): Promise<never> => new Promise(() => undefined);
  for (const hub of ["usb1", "usb2"]) await t.rejects(patience.within(hub, never), { code: "usb.busy" });
  let called = false;
  const call = async (): Promise<void> => {
    called = true;
  };
  await t.rejects(patience.within("usb1", call), { code: "usb.busy", message: /it is busy there/u });
  await t.rejects(patience.within("usb3", call), { code: "usb.busy", message: /not asked/u });
  t.equal(called, false);
  await t.rejects(
    createBoundedAccess(WAIT_MS, 2).within("usb1", () => Promise.reject(new RangeError("no"))),
    new RangeError("no"),
  );
  t.equal(await createBoundedAccess(WAIT_MS, 2).within("usb1", async () => 7), 7);
});
