// The contract of UsbTree.
import { test } from "tap";
import { linuxUsbTree } from "../../hal/linux/usb/index.ts";
import type { UsbTree } from "../../hal/ports.ts";
import { seen } from "../lab/worlds/lockdown.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";
import { fakeKernel, fakeUsbTree, HUB, KEYBOARD, STICK } from "../lab/fakes/usb-tree.ts";
import type { TestContext } from "../lab/runner/context.ts";

/**
 * One controller with three ports that authorizes everything: a stick at the first port, a hub with
 * a keyboard at the second.
 */
interface Subject {
  readonly tree: UsbTree;
  readonly unplug: (port: string) => void;
}

const subjects: Record<string, (t: TestContext) => Promise<Subject>> = {
  fakeUsbTree: async () => {
    const port = (name: string): { name: string; disabled: false; peer: undefined } => ({
      name,
      disabled: false,
      peer: undefined,
    });
    const tree = fakeUsbTree({
      controllers: [{ name: "usb1", authorizedDefault: 1 }],
      ports: ["1-1", "1-2", "1-3", "1-2.1", "1-2.2"].map((name) => port(name)),
      devices: [seen("1-1", STICK, true, 2), seen("1-2", HUB, true, 3), seen("1-2.1", KEYBOARD, true, 4)],
    });
    const unplug = (port: string): void => {
      tree.state = { ...tree.state, devices: tree.state.devices.filter((one) => one.port !== port) };
    };
    return { tree, unplug };
  },
  linuxUsbTree: async (t) => {
    const kernel = fakeKernel(await temporaryDirectory(t));
    kernel.addController(1, 3);
    kernel.plug("1-1", STICK);
    kernel.plug("1-2", HUB, 2);
    kernel.plug("1-2.1", KEYBOARD);
    return { tree: linuxUsbTree({ root: kernel.root, write: kernel.write }), unplug: (port) => kernel.unplug(port) };
  },
};

for (const [name, make] of Object.entries(subjects)) {
  test(`[LCK-8] ${name}: shows controllers, ports and what each device claims to be`, async (t) => {
    const { controllers, ports, devices } = await (await make(t)).tree.read();
    t.same(controllers, [{ name: "usb1", authorizedDefault: 1 }]);
    t.same(ports.map(({ name }) => name).sort(), ["1-1", "1-2", "1-2.1", "1-2.2", "1-3"]);
    t.same(
      devices.map(({ port, authorized, claims }) => ({ port, authorized, claims })),
      [
        {
          port: "1-1",
          authorized: true,
          claims: { vendor: "0951", product: "1666", serial: "60A44C413FAE", interfaces: ["08:06:50"] },
        },
        {
          port: "1-2",
          authorized: true,
          claims: { vendor: "05e3", product: "0608", serial: undefined, interfaces: ["09:00:00"] },
        },
        {
          port: "1-2.1",
          authorized: true,
          claims: { vendor: "046d", product: "c31c", serial: undefined, interfaces: ["03:00:00", "03:01:01"] },
        },
      ],
    );
  });

  test(`[LCK-7] ${name}: sets the default, authorizes, withdraws, and shows it`, async (t) => {
    const { tree } = await make(t);
    await tree.setDefault("usb1", "hardwired");
    t.equal((await tree.read()).controllers[0]?.authorizedDefault, 2);
    await tree.setDefault("usb1", "none");
    t.equal((await tree.read()).controllers[0]?.authorizedDefault, 0);
    const [stick] = (await tree.read()).devices;
    if (stick === undefined) throw new RangeError("no stick");
    await tree.setDevice(stick, false);
    t.equal((await tree.read()).devices[0]?.authorized, false);
    await tree.setDevice(stick, true);
    t.equal((await tree.read()).devices[0]?.authorized, true);
    await t.rejects(tree.setDevice({ ...stick, number: 99 }, true), { code: "usb.changed" });
    await t.rejects(tree.setDevice({ ...stick, descriptors: "0" }, true), { code: "usb.changed" });
  });

  test(`[LCK-9] ${name}: a disabled port has no device, nor has anything behind it`, async (t) => {
    const { tree } = await make(t);
    await tree.setPort("1-2", true);
    const { ports, devices } = await tree.read();
    t.equal(ports.find(({ name }) => name === "1-2")?.disabled, true);
    t.same(
      devices.map(({ port }) => port),
      ["1-1"],
    );
    await tree.setPort("1-2", false);
    t.equal((await tree.read()).ports.find(({ name }) => name === "1-2")?.disabled, false);
  });

  test(`[LCK-7] ${name}: a missing device is distinguished from one that does not obey`, async (t) => {
    const { tree, unplug } = await make(t);
    const [stick] = (await tree.read()).devices;
    if (stick === undefined) throw new RangeError("no stick");
    const before = await tree.plugged();
    t.equal(await tree.plugged(), before, "the id is the same while nothing is plugged");
    unplug("1-1");
    t.not(await tree.plugged(), before, "and another once a device was unplugged");
    await t.rejects(tree.setDevice(stick, true), { code: "usb.gone" });
    await t.rejects(tree.setDevice(stick, false), { code: "usb.gone" });
    await t.rejects(tree.setDefault("usb9", "none"), { code: "usb.gone" });
    await t.rejects(tree.setPort("1-9", true), { code: "usb.gone" });
  });
}
