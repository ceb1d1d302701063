// The lockdown as the warden runs it, on real counterparts and without an agent: nft in a
// namespace, probed from the other side; sysfs as a folder with a kernel behind it; the record on a
// disk.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "tap";
import { linuxFiles } from "../../../hal/linux/files/index.ts";
import { linuxFirewall } from "../../../hal/linux/firewall/index.ts";
import { linuxNetwork } from "../../../hal/linux/network/index.ts";
import { linuxUsbTree } from "../../../hal/linux/usb/index.ts";
import { lacksProbeNetwork, openProbeNetwork } from "../../lab/counterparts/network-probe.ts";
import { lockdownOrder, policyBytes } from "../../lab/worlds/lockdown.ts";
import { serviceRig, signed, until } from "../../lab/worlds/lockdown-service.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";
import { BAD_STICK, fakeKernel, STICK } from "../../lab/fakes/usb-tree.ts";

const OPEN = { inbound: [{ link: "eth0", protocol: "tcp", ports: [8080], from: "any" }] };

test(
  "[LCK-11] [LCK-13] [LCK-14] a proposed policy closes a listening port; the timer, a restart and an order open it again, and a confirmation keeps it closed",
  { skip: lacksProbeNetwork("user") },
  async (t) => {
    const probe = await openProbeNetwork("user");
    t.teardown(() => probe.stop());
    const { device, outside, nft } = probe;
    await device.listen(8080);
    const directory = await temporaryDirectory(t);
    for (const [path, text] of [
      ["sys/class/net/eth0/type", "1\n"],
      ["sys/class/net/eth1/type", "1\n"],
      ["proc/net/route", "Iface\teth0\neth0\t00000000\t010712C6\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"],
    ] as const) {
      mkdirSync(join(directory, "root", path, ".."), { recursive: true });
      writeFileSync(join(directory, "root", path), text);
    }
    const kernel = fakeKernel(join(directory, "root"));
    kernel.addController(1, 3);
    kernel.plug("1-1", STICK);
    mkdirSync(join(directory, "state"), { mode: 0o700 });
    const real = {
      firewall: linuxFirewall({ command: nft }),
      usb: linuxUsbTree({ root: kernel.root, write: kernel.write }),
      network: linuxNetwork({ root: kernel.root }),
      files: await linuxFiles(join(directory, "state")),
      base: policyBytes({ network: OPEN, usb: {} }),
    };
    const tried = async (): Promise<string> => await outside.tcp(device.ipv4[0], 8080);

    const rig = serviceRig(t);
    const lockdown = await rig.start(real);
    t.equal(await tried(), "open", "the base policy has it open");
    t.equal(kernel.read("usb1/authorized_default"), "0");

    rig.policy = signed(7, { network: { inbound: [] } });
    await lockdown.verbs["lockdown.propose"]({});
    t.equal(await tried(), "silent", "and the policy on trial closes it");
    await rig.clock.advance(60_000);
    await until("the timer has reverted it", () => lockdown.state().at === "base");
    t.equal(await tried(), "open");

    rig.policy = signed(8, { network: { inbound: [] } });
    const { trial } = await lockdown.verbs["lockdown.propose"]({});
    t.equal(await tried(), "silent");
    await lockdown.revert(lockdownOrder(trial, { verb: "lockdown.revert" }));
    t.equal(await tried(), "open");

    rig.policy = signed(9, { network: { inbound: [] } });
    await lockdown.verbs["lockdown.propose"]({});
    t.equal(await tried(), "silent");
    // the program was killed: nothing of it runs, but its table is in force
    const next = serviceRig(t);
    const again = await next.start({ ...real, policy: () => signed(9, { network: { inbound: [] } }) });
    t.equal(await tried(), "open", "a start reverts the policy on trial");
    t.match(again.state(), { at: "base", reverted: { reason: "restarted" } });
    t.same(next.events().slice(0, 2), ["lockdown.reverted", "lockdown.enforced"]);
    await t.rejects(again.verbs["lockdown.propose"]({}), { code: "lockdown.unchanged" });

    // with a clock of its own: the one before would restore what it had in force
    const third = serviceRig(t);
    third.policy = signed(10, { network: { inbound: [] } });
    const last = await third.start(real);
    await last.confirm(lockdownOrder((await last.verbs["lockdown.propose"]({})).trial));
    await third.clock.advance(120_000);
    t.equal(await tried(), "silent", "once confirmed, it stays closed");
    t.match((await serviceRig(t).start(real)).state(), { at: "confirmed", counter: 10 });
    t.equal(await tried(), "silent", "through a restart too");
    t.same([...rig.faults, ...next.faults, ...third.faults], []);
  },
);

test("[LCK-7] [LCK-8] [LCK-14] a stick that is plugged in at run time is judged by the policy and recorded once", async (t) => {
  const kernel = fakeKernel(await temporaryDirectory(t));
  kernel.addController(1, 3);
  const rig = serviceRig(t);
  const lockdown = await rig.start({
    usb: linuxUsbTree({ root: kernel.root, write: kernel.write }),
    base: policyBytes({
      usb: { allow: [{ vendor: "0951", product: "1666", serial: "60A44C413FAE", interfaces: ["08:06:50"] }] },
    }),
  });
  const usb = (): readonly string[] => rig.events().filter((event) => event.startsWith("usb."));
  /** Waits a few polls, each with the real time that it takes. */
  const wait = async (what: string, holds: () => boolean): Promise<void> =>
    await until(what, async () => {
      await rig.clock.advance(1_000);
      return holds();
    });
  kernel.plug("1-2", BAD_STICK);
  t.equal(kernel.read("1-2/authorized"), "0", "from the first moment");
  await wait("it is recorded", () => usb().length === 1);
  t.equal(kernel.read("1-2/authorized"), "0");
  t.match(rig.log.at(-1), {
    event: "usb.refused",
    result: "refused",
    detail: { port: "1-2", device: "0951:1666", serial: STICK.serial, interfaces: "03:01:01 08:06:50" },
  });
  kernel.plug("1-3", STICK);
  await wait("it is recorded", () => usb().length === 2);
  t.equal(kernel.read("1-3/authorized"), "1");
  t.match(rig.log.at(-1), { event: "usb.allowed", result: "ok", detail: { port: "1-3" } });
  for (let n = 0; n < 10; n++) await wait("time goes by", () => true);
  t.same(usb(), ["usb.refused", "usb.allowed"], "each once");
  // somebody with root does this
  writeFileSync(join(kernel.root, "sys/bus/usb/devices/1-2/authorized"), "1\n");
  await wait("it is restored", () => rig.events().includes("lockdown.restored"));
  t.equal(kernel.read("1-2/authorized"), "0");
  t.match(await lockdown.verbs["lockdown.read"]({}), { usb: [/^1-2 refused: no rule/u, /^1-3 works: allowed/u] });
  t.same(rig.faults, []);
});
