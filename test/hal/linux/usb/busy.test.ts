// A kernel that is busy with a hub: a device there does not answer, and calls about the hub's ports
// wait. Seen on a real kernel, for minutes.
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
  /** Ends of the paths whose access waits: `disable` of all ports, `/2-1/serial` of one device. */
  readonly blocked: Set<string>;
  /** Ends of the paths that the kernel fails to read. */
  readonly failing: Set<string>;
  /** Calls that wait now. */
  readonly waiting: { readonly path: string; readonly go: () => void }[];
  /** Lets the kernel carry out everything that waits. */
  readonly release: () => void;
  /** Every attribute that was read. */
  readonly reads: string[];
  readonly device: (port: string) => Promise<UsbDevice>;
  readonly showOther: (port: string) => void;
}

/** Two controllers that let nothing in, and a stick at the second. */
async function board(t: TestContext): Promise<Busy> {
  const kernel = fakeKernel(await temporaryDirectory(t));
  kernel.addController(1, 3, "0");
  kernel.addController(2, 1, "0");
  kernel.plug("2-1", STICK);
  const [blocked, failing] = [new Set<string>(), new Set<string>()];
  const waiting: { readonly path: string; readonly go: () => void }[] = [];
  const reads: string[] = [];
  const is = (path: string, ends: Set<string>): boolean => [...ends].some((end) => path.endsWith(end));
  const lock = async (path: string): Promise<void> => {
    if (is(path, blocked)) await new Promise<void>((go) => waiting.push({ path, go }));
  };
  const read = async (path: string): Promise<string | undefined> => {
    reads.push(path);
    if (is(path, failing)) throw new Fault("usb.unreadable", `read "${path}": EIO`);
    // sysfs.c takes the lock only when it is written
    if (!path.endsWith("/authorized")) await lock(path);
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
    blocked,
    failing,
    waiting,
    release: () => {
      blocked.clear();
      for (const { go } of waiting.splice(0)) go();
    },
    reads,
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

/** Tries until the kernel is no longer busy there. */
const obeys = (work: () => Promise<void>): Promise<true> =>
  eventually("the kernel obeys", () => work().then(() => true as const));

const comes = (what: string, holds: () => boolean): Promise<true> => eventually(what, async () => (holds() ? true : undefined));

function block(blocked: Set<string>, paths: readonly string[]): void {
  for (const path of paths) blocked.add(path);
}

test("[LCK-9] a hub that keeps the kernel busy delays nothing else: its ports show their last state, and everything else is read", async (t) => {
  const { tree, kernel, blocked, waiting, release, device } = await board(t);
  await tree.setPort("1-2", true);
  const before = { "1-1": false, "1-2": true, "1-3": false, "2-1": false };
  t.strictSame(await switches(tree), before);
  block(blocked, portsOf("usb1", 3));
  for (let turn = 0; turn < 5; turn += 1) t.strictSame(await switches(tree), before);
  t.equal(waiting.length, 1, "only one call waits, because each takes a thread");
  await t.rejects(tree.setPort("1-1", true), { code: "usb.not-in-force", message: /does not answer/u });
  await tree.setDevice(await device("2-1"), true);
  await tree.setPort("2-1", true);
  t.equal(kernel.read("usb2/2-0:1.0/usb2-port1/disable"), "1", "the other hub obeys");

  release();
  await obeys(() => tree.setPort("1-2", false));
  t.strictSame(
    await switches(tree),
    { "1-1": false, "1-2": false, "1-3": false, "2-1": true },
    "it is read again once it answers",
  );
});

test("[LCK-9] a state that a busy kernel has never reported is unknown, and is not taken for shut", async (t) => {
  const { tree, blocked } = await board(t);
  block(blocked, portsOf("usb1", 3));
  t.strictSame(await switches(tree), { "1-1": undefined, "1-2": undefined, "1-3": undefined, "2-1": false });
});

test("[LCK-9] a switch that we set is reported for a busy hub's port, also when it took effect late", async (t) => {
  const { tree, blocked, release } = await board(t);
  await tree.setPort("1-2", true);
  t.match(await switches(tree), { "1-2": true });
  await tree.setPort("1-2", false);
  block(blocked, portsOf("usb1", 3));
  t.match(await switches(tree), { "1-2": false });
  release();
  await obeys(() => tree.setPort("1-3", false));
  block(blocked, portsOf("usb1", 3));
  await t.rejects(tree.setPort("1-2", true), { code: "usb.not-in-force" });
  release();
  await obeys(() => tree.setPort("1-3", false));
  block(blocked, portsOf("usb1", 3));
  t.match(await switches(tree), { "1-2": true });
});

test("[LCK-9] a new hub in the same place does not inherit the switches of the old one", async (t) => {
  const { tree, kernel, blocked } = await board(t);
  const plugHub = async (): Promise<void> => {
    kernel.plug("1-1", HUB, 2);
    await kernel.write(join(kernel.root, "sys/bus/usb/devices/1-1/authorized"), "1");
  };
  await plugHub();
  await tree.setPort("1-1.2", true);
  t.match(await switches(tree), { "1-1.2": true });
  kernel.unplug("1-1");
  await plugHub();
  block(blocked, portsOf("1-1", 2));
  t.strictSame((await tree.read()).ports.find(({ name }) => name === "1-1.2")?.disabled, undefined);
});

test("[LCK-9] a switch that cannot be read is unknown, whatever it was: only a busy kernel is answered for from memory", async (t) => {
  const { tree, failing, blocked } = await board(t);
  await tree.setPort("1-2", true);
  t.match(await switches(tree), { "1-2": true });
  failing.add("/usb1-port2/disable");
  t.strictSame(await switches(tree), { "1-1": false, "1-2": undefined, "1-3": false, "2-1": false });
  failing.clear();
  blocked.add("/usb1-port2/disable");
  t.match(await switches(tree), { "1-2": undefined }, "nor from before the failure");
});

test("[LCK-8] a device of a busy kernel keeps its last appearance under its number, except for what needs no answer", async (t) => {
  const { tree, kernel, blocked, device } = await board(t);
  const before = await device("2-1");
  blocked.add("/2-1/serial");
  t.strictSame(await device("2-1"), before);
  await kernel.write(join(kernel.root, "sys/bus/usb/devices/2-1/authorized"), "1");
  t.strictSame(await device("2-1"), { ...before, authorized: true });
  kernel.unplug("2-1");
  kernel.plug("2-1", STICK);
  const other = await device("2-1");
  t.strictSame([other.number > before.number, other.claims], [true, undefined], "another device is not mistaken for it");
  t.equal((await tree.read()).ports.length, 4);
  kernel.unplug("2-1");
  t.strictSame((await tree.read()).devices, []);
  kernel.plug("2-1", STICK);
  // a controller that came back counts from the start
  writeFileSync(join(kernel.root, "sys/bus/usb/devices/2-1/devnum"), `${before.number}\n`);
  t.equal((await device("2-1")).claims, undefined, "what was seen to go is forgotten");
});

test("[LCK-8] a device that has never answered, or cannot be read, has no claims and does not delay the others", async (t) => {
  for (const way of ["blocked", "failing"] as const) {
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
    t.equal((await device("2-1")).claims, undefined, "after a failed read nothing is recalled");
  }
});

test("[LCK-32] a device that shows another appearance once it is authorized, and then does not answer, is shut out again", async (t) => {
  for (const way of ["blocked", "failing"] as const) {
    const { tree, kernel, device, showOther, release, ...ways } = await board(t);
    const stick = await device("2-1");
    kernel.onWrite("2-1/authorized", () => {
      showOther("2-1");
      ways[way].add("/2-1/serial");
    });
    await t.rejects(tree.setDevice(stick, true), { code: way === "blocked" ? "usb.busy" : "usb.unreadable" });
    t.equal(kernel.read("2-1/authorized"), "0", way);
    t.equal((await device("2-1")).claims, undefined, "nor is it told from memory what it claims");
    release();
  }
});

test("[LCK-32] when a device cannot be shut out again, the fault says why it should have been, and the device has no claims", async (t) => {
  const { tree, kernel, device, showOther, blocked, release } = await board(t);
  const stick = await device("2-1");
  kernel.onWrite("2-1/authorized", () => {
    showOther("2-1");
    blocked.add("/2-1/authorized");
  });
  await t.rejects(tree.setDevice(stick, true), {
    code: "usb.changed",
    message: /once it was authorized; and it may still be let in/u,
  });
  blocked.add("/2-1/serial");
  t.match(await device("2-1"), { authorized: true, claims: undefined });
  release();
  await comes("it is shut out as soon as the kernel carries it out", () => kernel.read("2-1/authorized") === "0");
});

test("[LCK-32] a device that is authorized late is inspected then: shut out if it is another, let in if it is not", async (t) => {
  for (const isOther of [true, false]) {
    const { tree, kernel, device, showOther, blocked, reads, release } = await board(t);
    const inspections = (): number => reads.filter((path) => path.endsWith("/2-1/serial")).length;
    const stick = await device("2-1");
    if (isOther) kernel.onWrite("2-1/authorized", () => showOther("2-1"));
    blocked.add("/2-1/authorized");
    await t.rejects(tree.setDevice(stick, true), { code: "usb.not-in-force", message: /does not answer/u });
    t.equal(kernel.read("2-1/authorized"), "0", "control: not yet");
    const before = inspections();
    release();
    await comes("it is looked at", () => inspections() > before);
    await comes("it ends in the right state", () => kernel.read("2-1/authorized") === (isOther ? "0" : "1"));
    t.match(await device("2-1"), { authorized: !isOther });
  }
});

test("[LCK-32] a write that fails may have authorized the device, so it is shut out", async (t) => {
  const { kernel, device } = await board(t);
  const stick = await device("2-1");
  const tree = linuxUsbTree({
    root: kernel.root,
    write: async (path, value) => {
      await kernel.write(path, value);
      // set_configuration stalled
      if (value === "1") throw Object.assign(new RangeError("EPIPE: broken pipe, write"), { code: "EPIPE" });
    },
  });
  await t.rejects(tree.setDevice(stick, true), { code: "usb.not-in-force", message: /EPIPE/u });
  t.equal(kernel.read("2-1/authorized"), "0");
});

test("[LCK-7] with as many calls waiting as allowed, a device can be shut out, and a device at a new controller stays out", async (t) => {
  const { tree, kernel, blocked, waiting, release } = await board(t);
  kernel.addController(3, 1, "1");
  kernel.plug("3-1", STICK);
  block(blocked, [...portsOf("usb1", 3), ...portsOf("usb2", 1)]);
  const stick = (await tree.read()).devices.find(({ port }) => port === "3-1");
  t.equal(waiting.length, 2);
  await tree.setDefault("usb3", "none");
  t.equal(kernel.read("usb3/authorized_default"), "0");
  if (stick === undefined) throw new RangeError("no stick");
  await tree.setDevice(stick, false);
  t.equal(kernel.read("3-1/authorized"), "0");
  await t.rejects(tree.setDevice(stick, true), {
    code: "usb.busy",
    message: /"3-1": not asked, because it is busy at "usb1", "usb2"/u,
  });
  release();
  await obeys(() => tree.setDevice(stick, true));
});

test("[LCK-7] two calls may wait at a time, a third is not made; other failures pass unchanged", async (t) => {
  const bounded = createBoundedAccess(WAIT_MS, 2);
  const never = (): Promise<never> => new Promise(() => undefined);
  for (const hub of ["usb1", "usb2"]) await t.rejects(bounded.run(hub, never), { code: "usb.busy" });
  let called = false;
  const call = async (): Promise<void> => {
    called = true;
  };
  await t.rejects(bounded.run("usb1", call), { code: "usb.busy", message: /it is busy there/u });
  await t.rejects(bounded.run("usb3", call), { code: "usb.busy", message: /not asked/u });
  t.equal(called, false);
  await t.rejects(
    createBoundedAccess(WAIT_MS, 2).run("usb1", () => Promise.reject(new RangeError("no"))),
    new RangeError("no"),
  );
  t.equal(await createBoundedAccess(WAIT_MS, 2).run("usb1", async () => 7), 7);
});
