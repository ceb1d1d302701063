// The order in which a plan is applied, with the kernel's packet filter and a USB tree that has a
// kernel behind it. [LCK-5] [LCK-26]
import { spawnSync } from "node:child_process";
import { test } from "tap";
import { Fault } from "../../../hal/fault.ts";
import { linuxFirewall } from "../../../hal/linux/firewall/index.ts";
import { linuxUsbTree } from "../../../hal/linux/usb/index.ts";
import type { UsbTree } from "../../../hal/ports.ts";
import { applyPlan } from "../../../warden/lockdown/apply.ts";
import type { Plan } from "../../../warden/lockdown/format/index.ts";
import { planLockdown } from "../../../warden/lockdown/plan/index.ts";
import { lacksProbeNetwork, openEmptyNetwork } from "../../lab/counterparts/network-probe.ts";
import { fakeKernel, KEYBOARD, STICK } from "../../lab/fakes/usb-tree.ts";
import type { TestContext } from "../../lab/runner/context.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";
import { labPolicy, labSnapshot } from "../../lab/worlds/lockdown.ts";

const skip = lacksProbeNetwork("user");

/** A keyboard that the policy shuts out, and a port that it disables. */
async function world(t: TestContext) {
  const kernel = fakeKernel(await temporaryDirectory(t));
  kernel.addController(1, 3);
  kernel.plug("1-1", STICK);
  kernel.plug("1-3", KEYBOARD);
  const touched: string[] = [];
  const tree = linuxUsbTree({
    root: kernel.root,
    write: async (path, value) => {
      touched.push("write");
      await kernel.write(path, value);
    },
  });
  const usb: UsbTree = {
    read: async () => {
      touched.push("read");
      return await tree.read();
    },
    plugged: () => tree.plugged(),
    setDefault: (...args) => tree.setDefault(...args),
    setPort: (...args) => tree.setPort(...args),
    setDevice: (...args) => tree.setDevice(...args),
  };
  const network = await openEmptyNetwork("user");
  t.teardown(() => network.stop());
  const [program, ...before] = network.nft;
  const plan: Plan = planLockdown(labPolicy(), { ...labSnapshot(), usb: await tree.read() });
  return {
    firewall: linuxFirewall({ command: network.nft }),
    usb,
    plan,
    touched,
    keyboard: () => kernel.read("1-3/authorized"),
    ruleset: () => spawnSync(program, [...before, "-a", "list", "ruleset"], { encoding: "utf8" }).stdout,
  };
}

test("[LCK-5] a table that nft or the kernel refuses changes nothing, and USB is not even looked at", { skip }, async (t) => {
  const { firewall, usb, plan, touched, keyboard, ruleset } = await world(t);
  const shut = planLockdown(undefined, labSnapshot()).firewall;
  for (const before of [undefined, shut]) {
    if (before !== undefined) await firewall.replace(before);
    const rules = ruleset();
    for (const rule of ["nonsense", "masquerade", "jump nowhere"]) {
      const refused = { ...plan, firewall: plan.firewall.replace("\t\tct state", `\t\t${rule}\n\t\tct state`) };
      await t.rejects(applyPlan(refused, { firewall, usb }), { code: "firewall.refused" }, rule);
      t.equal(ruleset(), rules, "not even a handle has changed");
      t.equal(await firewall.read(), before);
    }
  }
  t.same(touched, []);
  t.equal(keyboard(), "1");
});

test("[LCK-5] the table is in force before the first look at USB", { skip }, async (t) => {
  const { firewall, usb, plan, keyboard } = await world(t);
  let atFirst: string | undefined;
  const looking: UsbTree = {
    ...usb,
    read: async () => {
      atFirst ??= await firewall.read();
      return await usb.read();
    },
  };
  t.same(await applyPlan(plan, { firewall, usb: looking }), []);
  t.equal(atFirst, plan.firewall);
  t.equal(keyboard(), "0");
});

test(
  "[LCK-26] when it is not known what is in force, USB is shut, nothing of it is opened, and the apply has failed",
  { skip },
  async (t) => {
    const { firewall, usb, plan, keyboard } = await world(t);
    const opened: string[] = [];
    const shutOnly: UsbTree = {
      ...usb,
      setDevice: async (device, authorized) => {
        if (authorized) opened.push(device.port);
        await usb.setDevice(device, authorized);
      },
    };
    for (const code of ["process.timeout", "firewall.unreadable"] as const) {
      const replace = async (): Promise<never> => {
        throw new Fault(code, "as planned");
      };
      await t.rejects(applyPlan(plan, { firewall: { replace, read: () => firewall.read() }, usb: shutOnly }), {
        code,
      });
      t.equal(keyboard(), "0");
    }
    t.same(opened, []);
  },
);
