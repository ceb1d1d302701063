// Our driver on USB trees of a real kernel, and the fake kernel of other tests compared with them:
// wherever our code looks, both must look the same.
import { test } from "tap";
import { linuxUsbTree } from "../../hal/linux/usb/index.ts";
import type { UsbPort, UsbState } from "../../hal/ports.ts";
import { layOut, shapeOf, usbEntries } from "../lab/fakes/sysfs-tree.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";
import { readUsbTree, USB_TREES, type UsbTreeName } from "../lab/fakes/usb-fixture.ts";
import { fakeKernel, type FakeKernel, type Plugged } from "../lab/fakes/usb-tree.ts";
import type { TestContext } from "../lab/runner/context.ts";

const KEYBOARD: Plugged = { vendor: "0627", product: "0001", serial: "68284-0000:00:04.0-1", interfaces: ["03:01:01"] };
const STICK: Plugged = { vendor: "46f4", product: "0001", serial: "stick", interfaces: ["08:06:50"] };
const HUB: Plugged = { vendor: "0409", product: "55aa", serial: "314159-0000:00:04.0-3", interfaces: ["09:00:00"] };
const MOUSE: Plugged = { vendor: "0627", product: "0001", serial: "89126-0000:00:04.0-3.1", interfaces: ["03:01:02"] };
const HUB_PORTS = 8;

/** The content of {@link readUsbTree}, as the fake kernel shows it. */
async function madeUp(t: TestContext, name: UsbTreeName): Promise<FakeKernel> {
  const kernel = fakeKernel(await temporaryDirectory(t));
  for (const bus of [1, 2]) kernel.addController(bus, 4, "0");
  for (const n of [1, 2, 3, 4]) kernel.joinPorts(`1-${n}`, `2-${n}`);
  if (name === "empty") return kernel;
  kernel.plug("1-1", KEYBOARD);
  kernel.plug("2-2", STICK);
  kernel.plug("1-3", HUB, HUB_PORTS);
  if (name === "unauthorized") return kernel;
  const letIn = (port: string): Promise<void> => kernel.write(`${kernel.root}/sys/bus/usb/devices/${port}/authorized`, "1");
  for (const port of ["1-1", "2-2", "1-3"]) await letIn(port);
  kernel.plug("1-3.1", MOUSE);
  await letIn("1-3.1");
  return kernel;
}

type Told = Pick<UsbState, "controllers" | "ports"> & { readonly devices: readonly object[] };

/**
 * Descriptors differ in fields that no rule reads; numbers depend on what was plugged in before.
 */
function told({ controllers, ports, devices }: UsbState): Told {
  return {
    controllers,
    ports: ports.toSorted((a, b) => (a.name < b.name ? -1 : 1)),
    devices: devices.map(({ port, authorized, claims }) => ({ port, authorized, claims })),
  };
}

const CONTROLLERS = ["usb1", "usb2"].map((name) => ({ name, authorizedDefault: 0 }));
/** Four sockets, each a port of USB 2 and one of USB 3. */
const SOCKETS: readonly UsbPort[] = [
  { name: "1-1", disabled: false, peer: "2-1" },
  { name: "1-2", disabled: false, peer: "2-2" },
  { name: "1-3", disabled: false, peer: "2-3" },
  { name: "1-4", disabled: false, peer: "2-4" },
  { name: "2-1", disabled: false, peer: "1-1" },
  { name: "2-2", disabled: false, peer: "1-2" },
  { name: "2-3", disabled: false, peer: "1-3" },
  { name: "2-4", disabled: false, peer: "1-4" },
];
const AT_HUB = ["1-3.1", "1-3.2", "1-3.3", "1-3.4", "1-3.5", "1-3.6", "1-3.7", "1-3.8"].map((name) => ({
  name,
  disabled: false,
  peer: undefined,
}));
const PLUGGED = [
  { port: "1-1", claims: KEYBOARD },
  { port: "1-3", claims: HUB },
  { port: "2-2", claims: STICK },
];

const EXPECTED: Readonly<Record<UsbTreeName, Told>> = {
  empty: { controllers: CONTROLLERS, ports: SOCKETS, devices: [] },
  unauthorized: {
    controllers: CONTROLLERS,
    ports: SOCKETS,
    devices: PLUGGED.map((device) => ({ ...device, authorized: false })),
  },
  devices: {
    controllers: CONTROLLERS,
    ports: [...SOCKETS, ...AT_HUB].toSorted((a, b) => (a.name < b.name ? -1 : 1)),
    devices: [...PLUGGED, { port: "1-3.1", claims: MOUSE }]
      .toSorted((a, b) => (a.port < b.port ? -1 : 1))
      .map((device) => ({ ...device, authorized: true })),
  },
};

for (const name of USB_TREES) {
  test(`[LCK-7] [LCK-8] [LCK-9] "${name}": our driver reads a real kernel's tree and the fake one alike`, async (t) => {
    const root = await temporaryDirectory(t);
    layOut(readUsbTree(name), root);
    t.strictSame(told(await linuxUsbTree({ root }).read()), EXPECTED[name]);
    t.strictSame(told(await linuxUsbTree({ root: (await madeUp(t, name)).root }).read()), EXPECTED[name]);
  });

  test(`"${name}": everything that the fake kernel has, a real one has in the same place and form`, async (t) => {
    const known = new Set(shapeOf(readUsbTree(name)).map(withoutMode));
    const made = shapeOf({ entries: usbEntries((await madeUp(t, name)).root) }).map(withoutMode);
    t.strictSame(
      made.filter((line) => !known.has(line)),
      [],
    );
  });
}

/** The kernel decides who may write what; the folder of a test belongs to the test. */
function withoutMode(line: string): string {
  return line.replace(/ [0-7]{3} (\w+)$/u, " $1");
}
