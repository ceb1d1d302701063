// The early firewall, in force until the warden replaces it, and for good where the warden cannot
// start: on a real kernel, with real packets.
import { spawnSync } from "node:child_process";
import { test } from "tap";
import { earlyFirewall } from "../../../build/image/early-firewall.ts";
import { linuxFirewall } from "../../../hal/linux/firewall/index.ts";
import { renderTable } from "../../../warden/lockdown/plan/table.ts";
import { lacksProbeNetwork, openProbeNetwork } from "../../lab/counterparts/network-probe.ts";
import { settingsOf } from "../../lab/runner/units.ts";
import type { TestContext } from "../../lab/runner/context.ts";

const HUB = 8443;
const OTHER = 9000;
const skip = lacksProbeNetwork("netns");

async function gateway(t: TestContext) {
  const doors = await openProbeNetwork("netns");
  t.teardown(() => doors.stop());
  const [nft, ...before] = doors.nft;
  const load = (table: string) => spawnSync(nft, [...before, "-f", "-"], { input: table, encoding: "utf8" });
  for (const port of [HUB, OTHER]) {
    await doors.device.listen(port);
    await doors.outside.listen(port);
  }
  return { ...doors, load };
}

test("[LCK-30] before the warden: nothing gets in on any interface, and open connections are cut", { skip }, async (t) => {
  const { device, outside, load } = await gateway(t);
  const [host] = device.ipv4;
  t.equal(await outside.tcp(host, OTHER), "open", "without the table");
  const connection = await outside.hold(host, OTHER);
  t.equal(await connection(), "open");
  t.equal(load(earlyFirewall([HUB])).status, 0);
  for (const to of [...device.ipv4, ...device.ipv6])
    for (const port of [HUB, OTHER]) {
      t.equal(await outside.tcp(to, port), "silent", `TCP ${port} of ${to}`);
      t.equal(await outside.udp(to, port), "silent", `UDP ${port} of ${to}`);
    }
  t.equal(await connection(), "silent");
  for (const to of [device.ipv4[0], device.ipv6[0]]) t.notOk(outside.ping(to), `ping ${to}`);
});

test("[LCK-3] before the warden: only the hub's ports are reachable, over IPv4 and IPv6", { skip }, async (t) => {
  const { device, outside, load } = await gateway(t);
  t.equal(load(earlyFirewall([HUB])).status, 0);
  for (const to of [...outside.ipv4, ...outside.ipv6]) {
    t.equal(await device.tcp(to, HUB), "open", `the hub at ${to}`);
    t.not(await device.tcp(to, OTHER), "open", `not another port of ${to}`);
    t.not(await device.udp(to, OTHER), "open", `nor by UDP`);
  }
  t.equal(await device.tcp(device.ipv4[0], OTHER), "open", "local programs reach each other");
});

test("[LCK-5] the warden's table replaces the early one as a whole", { skip }, async (t) => {
  const { nft, device, outside, load } = await gateway(t);
  t.equal(load(earlyFirewall([HUB])).status, 0);
  const firewall = linuxFirewall({ command: nft });
  const open = renderTable({
    links: [{ name: "eth0", dhcp4: false, dhcp6: false, ipv6: false }],
    management: [],
    echo: "none",
    networkRules: [
      { direction: "in", link: "eth0", protocol: "tcp", ports: [[OTHER, OTHER]], sourcePort: null, peers: null, why: "policy" },
    ],
  });
  await firewall.replace(open);
  t.equal(await firewall.read(), open);
  t.equal(await outside.tcp(device.ipv4[0], OTHER), "open");
  t.not(await device.tcp(outside.ipv4[0], HUB), "open", "no rule of the early one is left");
});

test("the network does not come up without the early firewall, which waits for nothing", (t) => {
  const doors = settingsOf("sallyport-firewall.service");
  t.match(doors, /^DefaultDependencies=no$/mu);
  t.match(doors, /^Before=network-pre\.target systemd-networkd\.service sallyport-warden\.service$/mu);
  t.notMatch(doors, /^(?:Requires|BindsTo|After)=/mu);
  t.match(doors, /^OnFailure=sallyport-failed@%n\.service$/mu);
  const network = settingsOf("systemd-networkd.service.d/10-sallyport.conf");
  t.match(network, /^Requires=sallyport-firewall\.service$/mu);
  t.match(network, /^After=sallyport-firewall\.service$/mu);
  t.end();
});
