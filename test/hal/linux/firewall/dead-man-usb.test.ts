// What the dead man's switch does at USB, with a real shell and a played kernel.
import { spawnSync } from "node:child_process";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { SHUT_USB } from "../../../../hal/linux/firewall/dead-man.ts";
import { linuxDeadManSwitch } from "../../../../hal/linux/firewall/index.ts";
import { HUB, KEYBOARD, STICK } from "../../../lab/fakes/usb-tree.ts";
import type { TestContext } from "../../../lab/runner/context.ts";
import { eventually, HANG_MS } from "../../../lab/runner/process.ts";
import { UNITS } from "../../../lab/runner/units.ts";
import { type DeadManWorld, deadManWorld, HOUR_MS, wayBack } from "../../../lab/worlds/dead-man.ts";

/** A stick, a keyboard, and a hub with a stick behind it, all of them let in. */
async function board(t: TestContext) {
  const world = await deadManWorld(t);
  const { kernel } = world;
  const letIn = async (port: string): Promise<void> =>
    kernel.write(join(kernel.root, "sys/bus/usb/devices", port, "authorized"), "1");
  for (const [port, device, ports] of [
    ["1-1", STICK, 0],
    ["1-2", KEYBOARD, 0],
    ["1-3", HUB, 2],
  ] as const) {
    kernel.plug(port, device, ports);
    await letIn(port);
  }
  kernel.plug("1-3.2", STICK);
  await letIn("1-3.2");
  const device = (port: string) => ({ port, number: Number(kernel.read(`${port}/devnum`)) });
  const authorized = (): string => ["1-1", "1-2", "1-3", "1-3.2"].map((port) => kernel.read(`${port}/authorized`)).join("");
  return { ...world, letIn, device, authorized };
}

async function shut({ kernel }: Pick<DeadManWorld, "kernel">, ...ports: readonly string[]): Promise<void> {
  await eventually("USB is shut", async () =>
    ports.every((port) => kernel.read(`${port}/authorized`) === "0") ? true : undefined,
  );
}

test("[LCK-15] [LCK-21] a switch that fires shuts out what it was armed with, disables its ports, and touches nothing else", async (t) => {
  const world = await board(t);
  const { open, device, kernel, shells, directory } = world;
  const deadManSwitch = open();
  await deadManSwitch.arm(
    wayBack({ devices: [device("1-1"), device("1-3"), device("1-3.2")], ports: ["1-4", "1-3.1", "7-1"] }),
    HOUR_MS,
  );
  await shells.wake();
  await world.nftHas("ended");
  await shut(world, "1-1", "1-3", "1-3.2");
  const disabled = (path: string): string => kernel.read(`${path}/disable`);
  await eventually("the ports are disabled", async () =>
    disabled("usb1/1-0:1.0/usb1-port4") === "1" && disabled("1-3/1-3:1.0/1-3-port1") === "1" ? true : undefined,
  );
  t.equal(world.authorized(), "0100", "what the policy before allowed goes on");
  t.same([disabled("usb1/1-0:1.0/usb1-port2"), disabled("1-3/1-3:1.0/1-3-port2")], ["0", "0"]);
  t.equal(kernel.read("usb1/authorized_default"), "0");
  t.ok(await deadManSwitch.disarm());
  await shells.ended();
  t.same(await readdir(directory), []);
});

test("[LCK-21] another device at a port that was listed is left alone, and one that a busy kernel lets in late is shut out", async (t) => {
  const world = await board(t);
  const { open, device, kernel, shells } = world;
  await open().arm(wayBack({ devices: [device("1-1"), device("1-2")] }), HOUR_MS);
  kernel.unplug("1-2");
  kernel.plug("1-2", KEYBOARD);
  await world.letIn("1-2");
  await shells.wake();
  await shut(world, "1-1");
  await world.letIn("1-1");
  await shut(world, "1-1");
  t.ok(await open().disarm(), "taken away by a program that knows nothing of the shell");
  await shells.ended();
  t.equal(kernel.read("1-2/authorized"), "1", "and no try is under way any more");
});

test("[LCK-21] a device for which the kernel does not answer holds up neither the table nor the other devices", async (t) => {
  const world = await board(t);
  const { open, device, root, shells } = world;
  const deadManSwitch = open();
  await deadManSwitch.arm(wayBack({ devices: [device("1-1"), device("1-3")] }), HOUR_MS);
  const stuck = join(root, "sys/bus/usb/devices/1-1/authorized");
  await rm(stuck);
  t.equal(spawnSync("mkfifo", [stuck]).status, 0);
  await shells.wake();
  await world.nftHas("ended");
  await shut(world, "1-3");
  t.ok(await deadManSwitch.disarm());
  await shells.ended();
});

test("[LCK-21] a table that cannot be loaded holds up no device, and is tried again", async (t) => {
  const world = await board(t);
  const { device, directory, root, shells } = world;
  const flag = join(root, "nft-works");
  const command = ["/bin/sh", "-c", `echo tried >> "${root}/tries"; [ -e "${flag}" ]`, "nft"] as const;
  const deadManSwitch = linuxDeadManSwitch({ directory, root, command });
  await deadManSwitch.arm(wayBack({ devices: [device("1-1")] }), HOUR_MS);
  await shells.wake();
  await shut(world, "1-1");
  await writeFile(flag, "");
  const tries = async (): Promise<number> => (await readFile(join(root, "tries"), "utf8").catch(() => "")).split("\n").length - 1;
  await eventually("a second try", async () => ((await tries()) >= 2 ? true : undefined));
  t.ok(await deadManSwitch.disarm());
  await shells.ended();
});

test("[LCK-21] a name that is none of the kernel's reaches no shell, and nothing is armed with it", async (t) => {
  const { open, directory, shells } = await deadManWorld(t);
  for (const port of ["../1-1", "1-1/..", "1-1 7\n# device 1-2", "$(reboot)", "usb1", ""]) {
    await t.rejects(open().arm(wayBack({ devices: [{ port, number: 2 }] }), HOUR_MS), { code: "usb.gone" }, port);
    await t.rejects(open().arm(wayBack({ ports: [port] }), HOUR_MS), { code: "usb.gone" }, port);
  }
  t.same(await readdir(directory), []);
  t.same(await shells.waiting(), []);
});

test("[LCK-15] [LCK-21] where systemd sees the warden end, the same devices are shut out at once, by the same lines", async (t) => {
  const world = await board(t);
  const { root, device, authorized } = world;
  const script = join(UNITS, "usr/lib/sallyport/end-policy-trial");
  t.ok((await readFile(script, "utf8")).includes(`\n${SHUT_USB}\n`), "one text in two places");
  const place = join(root, "var/lib/sallyport-warden/dead-man");
  await mkdir(join(root, "bin"), { recursive: true });
  await writeFile(join(root, "bin/nft"), `#!/bin/sh\necho "$2" >> "${root}/unit-nft.log"\n`, { mode: 0o755 });
  const run = () =>
    spawnSync("/bin/sh", [script], { env: { PATH: `${root}/bin:/usr/bin:/bin`, SALLYPORT_ROOT: root }, timeout: HANG_MS }).status;
  const holder = linuxDeadManSwitch({ directory: place, root, command: ["true"] });
  await holder.arm(wayBack({ devices: [device("1-1"), device("1-3.2")], ports: ["1-4"] }), HOUR_MS);
  t.equal(run(), 0);
  t.equal(authorized(), "0110");
  t.equal(world.kernel.read("usb1/1-0:1.0/usb1-port4/disable"), "1");
  t.match(await readFile(join(root, "unit-nft.log"), "utf8"), /^\S+\/dead-man\/fired-[0-9a-f]{16}\.nft\n$/u);
  t.ok(await holder.disarm(), "and the next start finds that it fired");
});
