// The whole lockdown on real counterparts: nft in a namespace and a USB tree with a kernel behind
// it. A policy is proposed, probed from the other side, and reverted or confirmed.
import { test } from "tap";
import { linuxFirewall } from "../../../hal/linux/firewall/index.ts";
import { linuxUsbTree } from "../../../hal/linux/usb/index.ts";
import { lacksProbeNetwork, openProbeNetwork } from "../../lab/counterparts/network-probe.ts";
import { lockdownOrder, lockdownRig, policyBytes } from "../../lab/worlds/lockdown.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";
import { BAD_STICK, fakeKernel, STICK } from "../../lab/fakes/usb-tree.ts";

test(
  "[LCK-11] [LCK-12] a port opens with the policy on trial, closes when nobody confirms, and stays open when an order confirms",
  { skip: lacksProbeNetwork("user") },
  async (t) => {
    const probe = await openProbeNetwork("user");
    t.teardown(() => probe.stop());
    const { device, outside, nft } = probe;
    await device.listen(8080);
    const kernel = fakeKernel(await temporaryDirectory(t));
    kernel.addController(1, 3);
    kernel.plug("1-1", STICK);
    const rig = lockdownRig();
    const real = { firewall: linuxFirewall({ command: nft }), usb: linuxUsbTree({ root: kernel.root, write: kernel.write }) };

    const lockdown = await rig.open(real);
    t.equal(await outside.tcp(device.ipv4[0], 8080), "silent");
    t.equal(kernel.read("1-1/authorized"), "0");

    await lockdown.propose(policyBytes(), 7);
    t.equal(await outside.tcp(device.ipv4[0], 8080), "open");
    t.equal(kernel.read("1-1/authorized"), "1");
    t.equal(kernel.read("usb1/1-0:1.0/usb1-port2/disable"), "1");

    await rig.clock.advance(60_000);
    // waits its turn behind the timer's event: real programs take real time
    await lockdown.recheck();
    t.match(lockdown.status(), { at: "base", reverted: { reason: "deadline" } });
    t.equal(await outside.tcp(device.ipv4[0], 8080), "silent");
    t.equal(kernel.read("1-1/authorized"), "0");
    t.equal(kernel.read("usb1/1-0:1.0/usb1-port2/disable"), "0");

    await lockdown.confirm(lockdownOrder(await lockdown.propose(policyBytes(), 8)));
    kernel.unplug("1-1");
    kernel.plug("1-1", BAD_STICK);
    kernel.addController(2, 1);
    await lockdown.recheck();
    t.equal(kernel.read("1-1/authorized"), "0", "the same names, with a keyboard in the port");
    t.equal(kernel.read("usb2/authorized_default"), "0", "a controller that appeared later");
    t.equal(await outside.tcp(device.ipv4[0], 8080), "open");
    t.same(rig.faults, []);
  },
);
