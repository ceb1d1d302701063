// USB devices that come and go faster than anybody looks: what the kernel's events make of them.
import { test } from "tap";
import { Fault } from "../../../hal/fault.ts";
import type { UsbEvents, UsbListener } from "../../../hal/ports.ts";
import type { AuditEntry } from "../../../warden/audit/format/index.ts";
import { EXTERNAL_RECORDS_BURST_MAX } from "../../../warden/lockdown/limits.ts";
import { STICK } from "../../lab/fakes/usb-tree.ts";
import type { TestContext } from "../../lab/runner/context.ts";
import { seen } from "../../lab/worlds/lockdown.ts";
import { type ServiceRig, serviceRig, until } from "../../lab/worlds/lockdown-service.ts";

interface Kernel {
  readonly events: UsbEvents;
  /** The source ends, as udevadm does when it is killed. It cannot be followed until it is well. */
  fail(): void;
  heal(): void;
  /** The kernel has USB, or its driver is not loaded yet. */
  hasBus: boolean;
  plug(port: string, number: number): void;
  unplug(port: string, number: number): void;
  /** How often the events were followed. */
  readonly followed: number;
}

function fakeKernel({ usb }: ServiceRig): Kernel {
  let listener: UsbListener | undefined;
  let end: ((fault: Fault) => void) | undefined;
  let followed = 0;
  let isWell = true;
  const ended = (): Fault => new Fault("process.failed", 'follow USB events: "udevadm" has ended (SIGKILL)');
  const kernel: Kernel = {
    hasBus: true,
    events: {
      follow: (given, signal) => {
        if (!kernel.hasBus) return Promise.resolve();
        if (!isWell) return Promise.reject(ended());
        followed += 1;
        listener = given;
        given.onListening();
        return new Promise((resolve, reject) => {
          end = reject;
          signal.addEventListener("abort", () => resolve());
        });
      },
    },
    get followed() {
      return followed;
    },
    fail: () => {
      isWell = false;
      listener = undefined;
      end?.(ended());
    },
    heal: () => void (isWell = true),
    plug: (port, number) => {
      usb.state = { ...usb.state, devices: [...usb.state.devices, seen(port, STICK, false, number)] };
      listener?.onEvent({ what: "came", port, number, id: "0951:1666" });
    },
    unplug: (port, number) => {
      usb.state = { ...usb.state, devices: usb.state.devices.filter((one) => one.port !== port) };
      listener?.onEvent({ what: "went", port, number, id: "0951:1666" });
    },
  };
  return kernel;
}

async function watched(
  t: TestContext,
): Promise<{ rig: ServiceRig; kernel: Kernel; beats: () => number; usb: () => readonly AuditEntry[] }> {
  const rig = serviceRig(t);
  const kernel = fakeKernel(rig);
  let beats = 0;
  await rig.start({ usbEvents: kernel.events, heartbeat: () => void (beats += 1) });
  await until("the events are followed", () => kernel.followed === 1);
  await rig.clock.advance(1000);
  return { rig, kernel, beats: () => beats, usb: () => rig.log.filter(({ event }) => event.startsWith("usb.")) };
}

test("[LCK-71] a stick that is in and out within a quarter of a second is recorded, thirty times in a row", async (t) => {
  const { rig, kernel, usb } = await watched(t);
  for (let n = 0; n < 30; n++) {
    kernel.plug("1-2", 2 + n);
    kernel.unplug("1-2", 2 + n);
    await rig.clock.advance(200);
  }
  await rig.clock.advance(1000);
  t.equal(usb().length, 30);
  t.match(usb()[0], {
    event: "usb.missed",
    result: "refused",
    detail: { port: "1-2", number: 2, device: "0951:1666", why: "it was gone before it could be judged" },
  });
  t.equal(new Set(usb().map((one) => JSON.stringify(one))).size, 30, "each is another one");
});

test("[LCK-70] [LCK-71] a device that stays is judged at its event, and recorded once, by its verdict", async (t) => {
  const { rig, kernel, usb } = await watched(t);
  kernel.plug("1-2", 2);
  await until("it is judged, though no time passes", () => usb().length > 0);
  t.match(usb(), [{ event: "usb.refused", detail: { port: "1-2", why: /^no rule/u } }]);
  await rig.clock.advance(20_000);
  kernel.unplug("1-2", 2);
  await rig.clock.advance(20_000);
  t.equal(usb().length, 1);
});

test("[LCK-71] a flood of plugging is counted: neither records nor checks keep up with it, and deadlines are served", async (t) => {
  const { rig, kernel, beats, usb } = await watched(t);
  let checks = 0;
  const { read } = rig.firewall;
  rig.firewall.read = async () => {
    checks += 1;
    return await read();
  };
  const [before, cycles, seconds] = [beats(), 1000, 50];
  for (let n = 0; n < cycles; n++) {
    kernel.plug("1-2", 2 + (n % 125));
    if (n % 2 === 0) kernel.unplug("1-2", 2 + (n % 125));
    for (let more = 0; more < 4; more++) {
      kernel.plug("1-3", 2 + (n % 125));
      kernel.unplug("1-3", 2 + (n % 125));
    }
    await rig.clock.advance((seconds * 1000) / cycles);
    kernel.unplug("1-2", 2 + (n % 125));
  }
  await rig.clock.advance(60_000);
  kernel.plug("1-1", 126);
  kernel.unplug("1-1", 126);
  await rig.clock.advance(1000);
  const missed = rig.log.filter(({ event }) => event === "usb.missed");
  t.ok(missed.length <= EXTERNAL_RECORDS_BURST_MAX + 5, `${missed.length} records`);
  t.ok(usb().length <= 2 * (EXTERNAL_RECORDS_BURST_MAX + 5), `${usb().length} records in all`);
  t.ok(missed.reduce((sum, { detail }) => sum + Number(detail?.["suppressed"] ?? 0), 0) > 1000, "the rest is counted");
  t.ok(checks <= 2 * (seconds + 61) + 8, `${checks} checks in ${seconds + 61} s`);
  t.ok(beats() - before >= seconds, "the heartbeat goes on");
  t.same(rig.faults, []);
});

test("[LCK-70] where the events end, the tree is looked at each second, and the events are followed again", async (t) => {
  const { rig, kernel, usb } = await watched(t);
  kernel.fail();
  await until("it is reported", () => rig.faults.length > 0);
  t.match(rig.faults, [{ code: "process.failed", message: /udevadm/u }]);
  kernel.plug("1-2", 2); // nobody tells
  await rig.clock.advance(1000);
  t.match(usb(), [{ event: "usb.refused" }], "seen all the same");
  await rig.clock.advance(600_000);
  t.equal(rig.faults.length, 1, "it is said once an hour");
  kernel.heal();
  await rig.clock.advance(60_000);
  t.equal(kernel.followed, 2, "tried at least once a minute");
  kernel.plug("1-1", 3);
  await until("it is judged at its event again", () => usb().length > 1);
});

test("[LCK-70] with events the names of the tree are not read each second, but the full comparison goes on", async (t) => {
  const { rig, usb } = await watched(t);
  let reads = 0;
  rig.usb.plugged = async () => {
    reads += 1;
    return "as before";
  };
  await rig.clock.advance(60_000);
  t.equal(reads, 0);
  rig.usb.state = { ...rig.usb.state, devices: [seen("1-2", STICK, false, 9)] };
  await rig.clock.advance(6000);
  t.match(usb(), [{ event: "usb.refused" }], "also a device of which no event was told");
});

test("[LCK-71] a device that comes while the tree cannot be read is looked at once it can", async (t) => {
  const { rig, kernel, usb } = await watched(t);
  rig.usb.failAlways(new Fault("usb.unreadable", "as planned"));
  kernel.plug("1-2", 2);
  kernel.plug("1-3", 3);
  kernel.unplug("1-3", 3);
  await rig.clock.advance(10_000);
  t.same(usb(), [], "nothing is said of what nobody could look at");
  rig.usb.failAlways(undefined);
  await rig.clock.advance(70_000);
  t.same(
    usb()
      .map((entry) => `${entry.event} ${entry.detail?.["port"]}`)
      .toSorted(),
    ["usb.missed 1-3", "usb.refused 1-2"],
  );
});

test("[LCK-70] where the driver of USB is loaded late, its events are followed within a second", async (t) => {
  const rig = serviceRig(t);
  const kernel = fakeKernel(rig);
  kernel.hasBus = false;
  await rig.start({ usbEvents: kernel.events });
  await rig.clock.advance(600_000);
  t.equal(kernel.followed, 0);
  kernel.hasBus = true;
  await rig.clock.advance(1000);
  t.equal(kernel.followed, 1);
  t.same(rig.faults, [], "a machine without USB is in no trouble");
});
