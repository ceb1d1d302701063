// The dead man's switch with a real shell and the kernel's packet filter.
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { spawnSync } from "node:child_process";
import { test } from "tap";
import type { Fault } from "../../../../hal/fault.ts";
import { linuxDeadManSwitch, linuxFirewall } from "../../../../hal/linux/firewall/index.ts";
import type { WayBack } from "../../../../hal/ports.ts";
import { renderTable } from "../../../../warden/lockdown/plan/table.ts";
import { lacksProbeNetwork, openProbeNetwork } from "../../../lab/counterparts/network-probe.ts";
import { switchShells } from "../../../lab/counterparts/switch-shells.ts";
import { eventually } from "../../../lab/runner/process.ts";
import { temporaryDirectory } from "../../../lab/runner/temporary.ts";
import { UNITS } from "../../../lab/runner/units.ts";
import type { TestContext } from "../../../lab/runner/context.ts";

const table = (name: string): string =>
  renderTable({
    links: [{ name, dhcp4: false, dhcp6: false, ipv6: false }],
    management: [],
    echo: "none",
    networkRules: [],
  });
const [FALLBACK, TRIED, OTHER] = [table("eth0"), table("eth1"), table("eth2")];
const way = (back: string): WayBack => ({ table: back, devices: [], ports: [] });
const HOUR_MS = 3_600_000;
const skip = lacksProbeNetwork("netns");

async function world(t: TestContext) {
  const network = await openProbeNetwork("netns");
  t.teardown(() => network.stop());
  const directory = join(await temporaryDirectory(t), "dead-man");
  const open = () => linuxDeadManSwitch({ directory, command: network.nft });
  const [deadManSwitch, firewall] = [open(), linuxFirewall({ command: network.nft })];
  await firewall.replace(TRIED);
  t.teardown(async () => void (await deadManSwitch.disarm()));
  return { directory, network, open, deadManSwitch, firewall };
}

const inForce = async (firewall: { read(): Promise<string | undefined> }, wanted: string): Promise<void> => {
  await eventually("the table comes in force", async () => ((await firewall.read()) === wanted ? true : undefined));
};

test(
  "[LCK-15] an armed switch puts its table in force by itself and says afterwards that it fired, once",
  { skip },
  async (t) => {
    const { deadManSwitch, firewall, directory } = await world(t);
    await deadManSwitch.arm(way(FALLBACK), 1);
    await inForce(firewall, FALLBACK);
    t.ok(await deadManSwitch.disarm());
    t.notOk(await deadManSwitch.disarm());
    t.same(await readdir(directory), []);
  },
);

test("[LCK-15] a disarmed switch changes nothing, and one that is armed anew keeps the later time", { skip }, async (t) => {
  const { deadManSwitch, firewall, directory } = await world(t);
  const shells = switchShells(directory);
  await deadManSwitch.arm(way(OTHER), HOUR_MS);
  const earlier = await shells.one();
  await deadManSwitch.arm(way(FALLBACK), HOUR_MS);
  const later = await shells.one();
  t.not(later, earlier);
  t.same(
    (await readdir(directory)).map((name) => join(directory, name)),
    [later],
    "one shell, one file",
  );
  t.notOk(await deadManSwitch.disarm());
  await shells.ended();
  t.equal(await firewall.read(), TRIED, "and nothing is left that could change it");
});

test("[LCK-15] a later program disarms the switch of an earlier one, and learns whether it fired", { skip }, async (t) => {
  const { deadManSwitch, open, firewall, directory } = await world(t);
  await deadManSwitch.arm(way(FALLBACK), HOUR_MS);
  const later = open();
  t.notOk(await later.disarm());
  await deadManSwitch.arm(way(FALLBACK), 1);
  await inForce(firewall, FALLBACK);
  t.ok(await open().disarm());
  t.same(await readdir(directory), []);
});

test("[LCK-15] where systemd sees the warden end, the armed table comes in force at once", { skip }, async (t) => {
  const { network, firewall } = await world(t);
  const root = await temporaryDirectory(t);
  const place = join(root, "var/lib/sallyport-warden/dead-man");
  await mkdir(place, { recursive: true });
  const [program, ...args] = [...network.nft.slice(0, -1), "/bin/sh", `${UNITS}/usr/lib/sallyport/end-policy-trial`];
  const run = () => spawnSync(program, args, { env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", SALLYPORT_ROOT: root } }).status;
  t.equal(run(), 0, "nothing is armed");
  t.equal(await firewall.read(), TRIED);
  const holder = linuxDeadManSwitch({ directory: place, command: ["true"] });
  await holder.arm(way(FALLBACK), HOUR_MS);
  t.equal(run(), 0);
  t.equal(await firewall.read(), FALLBACK);
  t.ok(await holder.disarm(), "and the next start finds that it fired");
  await writeFile(join(place, "armed-0000.txt"), "");
  t.equal(run(), 0, "another file is nobody's table");
});

test("[LCK-15] a place that cannot be used refuses to arm, and nothing is armed there to find", async (t) => {
  const file = join(await temporaryDirectory(t), "file");
  await writeFile(file, "");
  const broken = linuxDeadManSwitch({ directory: join(file, "inside") });
  await t.rejects(broken.arm(way(FALLBACK), HOUR_MS), { code: /^file\./u });
  t.notOk(await linuxDeadManSwitch({ directory: `${file}-missing` }).disarm(), "a machine that never tried a policy");
  const faults: Fault[] = [];
  const onDamage = (fault: Fault): void => void faults.push(fault);
  const mended = linuxDeadManSwitch({ directory: file, command: ["true"], onDamage });
  t.notOk(await mended.disarm(), "nor one in whose place a file lies");
  await mended.arm(way(FALLBACK), HOUR_MS);
  t.match(faults, [{ code: "file.not-regular", message: /\.aside-file/u }], "[STA-13] which is set aside");
  t.notOk(await mended.disarm());
});
