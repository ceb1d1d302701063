// A device whose descriptors the kernel takes and our parser does not: it stays shut, and its owner
// lets it in on purpose, by its port and the hash of its descriptors.
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "tap";
import { linuxUsbTree } from "../../../hal/linux/usb/index.ts";
import { staysOpen } from "../../../warden/lockdown/format/index.ts";
import { planLockdown } from "../../../warden/lockdown/plan/index.ts";
import { descriptorsOf, type FakeKernel, fakeKernel, type Plugged, SHORT_STICK, STICK } from "../../lab/fakes/usb-tree.ts";
import type { TestContext } from "../../lab/runner/context.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";
import { labPolicy, labSnapshot, policyBytes } from "../../lab/worlds/lockdown.ts";
import { serviceRig, until } from "../../lab/worlds/lockdown-service.ts";

const hashOf = (bytes: Uint8Array): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
const SHORT = hashOf(SHORT_STICK.raw ?? new Uint8Array());

interface Board {
  readonly kernel: FakeKernel;
  readonly path: (name: string) => string;
  /** @returns the line of `lockdown show` about the device at this port, once there is one. */
  readonly line: (port: string) => Promise<string>;
  /** The same, at once. */
  readonly shown: (port: string) => Promise<string | undefined>;
  readonly unplug: (port: string) => Promise<void>;
  readonly recorded: () => readonly unknown[];
}

async function board(t: TestContext, allow: readonly unknown[]): Promise<Board> {
  const kernel = fakeKernel(await temporaryDirectory(t));
  kernel.addController(1, 3);
  const rig = serviceRig(t);
  const { verbs } = await rig.start({
    usb: linuxUsbTree({ root: kernel.root, write: kernel.write }),
    base: policyBytes({ usb: { allow } }),
  });
  const shown = async (port: string): Promise<string | undefined> => {
    await rig.clock.advance(1000);
    return (await verbs["lockdown.read"]({})).usb.find((one) => one.startsWith(`${port} `));
  };
  const line = async (port: string): Promise<string> => {
    let found: string | undefined;
    await until(`the device at ${port} is judged`, async () => {
      found = await shown(port);
      return found !== undefined;
    });
    return found ?? "";
  };
  const unplug = async (port: string): Promise<void> => {
    kernel.unplug(port);
    await until(`${port} is seen to be empty`, async () => (await shown(port)) === undefined);
  };
  return {
    kernel,
    path: (name) => join(kernel.root, "sys/bus/usb/devices", name),
    line,
    shown,
    unplug,
    recorded: () => rig.log.filter(({ event }) => event.startsWith("usb.")),
  };
}

test("[LCK-8] [LCK-73] a configuration that ends before its wTotalLength stays shut, and the status says how to let it in", async (t) => {
  const { kernel, line, recorded } = await board(t, [{ vendor: "1209", product: "0001", interfaces: ["02:02:01", "0a:00:00"] }]);
  kernel.plug("1-2", SHORT_STICK);
  const said = await line("1-2");
  t.match(said, /^1-2 refused: its descriptors make no sense: a configuration claims 67 bytes, 59 are there; /u);
  t.match(said, `only a rule of its own lets it in: "port": "1-2", "descriptors": "${SHORT}"`);
  t.equal(kernel.read("1-2/authorized"), "0", "also where a rule names what it claims");
  t.match(recorded(), [{ event: "usb.refused", detail: { port: "1-2", why: new RegExp(SHORT, "u") } }]);
});

test("[LCK-73] a rule of its own lets it in at that port, and no other device and at no other port", async (t) => {
  const rule = { descriptors: SHORT, port: "1-2" };
  const { kernel, line, path, shown, unplug } = await board(t, [rule]);
  kernel.plug("1-2", SHORT_STICK);
  t.match(await line("1-2"), /^1-2 works: allowed: /u);
  t.equal(kernel.read("1-2/authorized"), "1");
  kernel.plug("1-1", SHORT_STICK);
  t.match(await line("1-1"), /; the nearest rule, for descriptors at 1-2, differs: it is at 1-1, not at 1-2/u);
  t.equal(kernel.read("1-1/authorized"), "0");

  await unplug("1-2");
  const other = Uint8Array.from(SHORT_STICK.raw ?? []);
  other[12] = 2; // bcdDevice: the same device of another year
  kernel.plug("1-2", { ...SHORT_STICK, raw: other });
  t.match(await line("1-2"), /refused: its descriptors make no sense.*differs: its descriptors have the hash sha256:/u);
  await unplug("1-2");
  kernel.plug("1-2", SHORT_STICK);
  t.match(await line("1-2"), /^1-2 works/u, "control: the first one is let in again");
  writeFileSync(path("1-2/descriptors"), descriptorsOf({ ...STICK, interfaces: ["03:01:01"] }));
  await until("it is shut out, because it shows other descriptors later", async () => {
    await shown("1-2");
    return kernel.read("1-2/authorized") === "0";
  });

  await unplug("1-2");
  kernel.onWrite("1-2/authorized", () => writeFileSync(path("1-2/descriptors"), descriptorsOf(STICK)));
  kernel.plug("1-2", SHORT_STICK);
  t.match(await line("1-2"), /refused/u, "[LCK-32] it shows other descriptors once it is authorized");
  t.equal(kernel.read("1-2/authorized"), "0");
});

test("[LCK-73] descriptors that cannot be read as a whole have no hash, and no rule lets such a device in", async (t) => {
  const cut: readonly (readonly [string, Uint8Array])[] = [
    ["nothing", new Uint8Array()],
    ["half of a device descriptor", descriptorsOf(STICK).slice(0, 10)],
    ["more than a device can have", new Uint8Array(70_000).fill(9)],
  ];
  for (const [what, raw] of cut) {
    const rules = [raw, Buffer.from("none"), new Uint8Array()].map((bytes) => ({ descriptors: hashOf(bytes), port: "1-2" }));
    const { kernel, line } = await board(t, rules);
    const device: Plugged = { ...STICK, raw };
    kernel.plug("1-2", device);
    t.match(await line("1-2"), /^1-2 refused: its descriptors make no sense: they cannot be read; no rule can let it in/u, what);
    t.equal(kernel.read("1-2/authorized"), "0");
  }
});

test("[LCK-73] the rule also holds a device whose descriptors do make sense to exactly these, and its plan says what it is", async (t) => {
  const { kernel, line } = await board(t, [{ descriptors: hashOf(descriptorsOf(STICK)), port: "1-3" }]);
  kernel.plug("1-3", STICK);
  t.match(await line("1-3"), /^1-3 works: allowed: 0951:1666/u);
  const rule = { descriptors: SHORT, port: "1-2", uplink: true };
  const plan = planLockdown(labPolicy({ mode: "shut", usb: { allow: [rule, rule] } }), labSnapshot());
  t.same(plan.usb.allow, [rule], "once, and as an uplink also where all else is shut");
  t.match(staysOpen(plan).join("\n"), `usb any device with descriptors ${SHORT} at 1-2, uplink`);
});
