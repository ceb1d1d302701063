// The doors tried from both sides, with real packets, against the table that was planned.
import { spawnSync } from "node:child_process";
import { test } from "tap";
import { linuxFirewall } from "../../../../hal/linux/firewall/index.ts";
import { planLockdown } from "../../../../warden/lockdown/plan/index.ts";
import type { MachineFacts } from "../../../../warden/lockdown/index.ts";
import { lacksProbeNetwork, openProbeNetwork } from "../../../lab/counterparts/network-probe.ts";
import { labPolicy, labSnapshot } from "../../../lab/worlds/lockdown.ts";

const HUB_PORT = 8883;
const network = {
  management: ["198.18.7.3", "fd5a:7::1"],
  inbound: [
    { link: "eth0", protocol: "tcp", ports: [8080, "9000-9001"], from: "any" },
    { link: "eth0", protocol: "tcp", ports: [2222], from: "management" },
    { link: "eth0", protocol: "udp", ports: [5000], from: "any" },
  ],
  outbound: [{ protocol: "tcp", ports: [7000], to: ["198.18.7.1"] }],
};
const SNAPSHOT: MachineFacts = labSnapshot({ hub: [{ address: undefined, port: HUB_PORT }] });
const tableOf = (network: Readonly<Record<string, unknown>>, snapshot = SNAPSHOT): string =>
  planLockdown(labPolicy({ network }), snapshot).firewall;

const SHUT = ["silent", "ECONNREFUSED", "EHOSTUNREACH", "EACCES", "EPERM"];

/** Tries that run side by side: most of them wait in vain. */
async function outcomes(tries: Readonly<Record<string, Promise<string>>>): Promise<Readonly<Record<string, string>>> {
  const done: Record<string, string> = {};
  for (const [what, trying] of Object.entries(tries)) {
    const outcome = await trying;
    done[what] = SHUT.includes(outcome) ? "shut" : outcome;
  }
  return done;
}

for (const [kind, who] of [
  ["netns", "as root"],
  ["user", "without root"],
] as const)
  test(`a device behind its table, ${who}`, { skip: lacksProbeNetwork(kind) }, async (t) => {
    const doors = await openProbeNetwork(kind);
    t.teardown(() => doors.stop());
    const { device, outside, nft } = doors;
    const firewall = linuxFirewall({ command: nft });
    for (const port of [8080, 8081, 9001, 2222, 5000]) await device.listen(port);
    for (const port of [7000, 7001, HUB_PORT]) await outside.listen(port);
    t.equal(await outside.tcp(device.ipv4[0], 8081), "open", "control: everything is open before");
    t.equal(await outside.tcp(device.ipv6[1], 8081), "open");

    await t.test("[LCK-2] what the policy names answers, all else is shut, on IPv4 and IPv6", async (t) => {
      await firewall.replace(tableOf(network));
      for (const [eth0, eth1] of [device.ipv4, device.ipv6])
        t.same(
          await outcomes({
            named: outside.tcp(eth0, 8080),
            "in a named range": outside.tcp(eth0, 9001),
            "named for UDP": outside.udp(eth0, 5000),
            "not named": outside.tcp(eth0, 8081),
            "named for UDP only": outside.tcp(eth0, 5000),
            "named for TCP only": outside.udp(eth0, 8080),
            "by another link": outside.tcp(eth1, 8080),
            "for management only": outside.tcp(eth0, 2222),
          }),
          {
            named: "open",
            "in a named range": "open",
            "named for UDP": "open",
            "not named": "shut",
            "named for UDP only": "shut",
            "named for TCP only": "shut",
            "by another link": "shut",
            "for management only": eth0 === device.ipv6[0] ? "open" : "shut", // fd5a:7::1 is management's, 198.18.7.1 is not
          },
        );
    });

    await t.test(
      "[LCK-3] the hub can be reached though no policy names it; what else is not named is refused at once",
      async (t) => {
        t.same(
          await outcomes({
            "hub, IPv4": device.tcp(outside.ipv4[0], HUB_PORT),
            "hub, IPv6": device.tcp(outside.ipv6[0], HUB_PORT),
            named: device.tcp(outside.ipv4[0], 7000),
            "hub by another link": device.tcp(outside.ipv4[1], HUB_PORT),
            "another address": device.tcp(outside.alias4, 7000),
            "another port": device.tcp(outside.ipv4[0], 7001),
            "another protocol": device.udp(outside.ipv4[0], 7000),
          }),
          {
            "hub, IPv4": "open",
            "hub, IPv6": "open",
            named: "open",
            "hub by another link": "shut",
            "another address": "shut",
            "another port": "shut",
            "another protocol": "shut",
          },
        );
        t.equal(await device.tcp(outside.ipv4[0], 7001), "ECONNREFUSED", "refused, not dropped");
        t.equal(await device.tcp(outside.ipv6[0], 7000), "ECONNREFUSED");
        await firewall.replace(planLockdown(undefined, SNAPSHOT).firewall);
        t.same(
          await outcomes({ hub: device.tcp(outside.ipv6[0], HUB_PORT), in: outside.tcp(device.ipv4[0], 8080) }),
          { hub: "open", in: "shut" },
          "nor is the hub lost with the policy",
        );
      },
    );

    await t.test('[LCK-5] an address taken out of the policy is shut out; with "flush table" it would not be', async (t) => {
      const [wide, narrow] = [tableOf({ ...network, management: ["198.18.7.0/24"] }), tableOf(network)];
      await firewall.replace(wide);
      t.equal(await outside.tcp(device.ipv4[0], 2222), "open");
      flushAndLoad(nft, narrow);
      t.equal(await outside.tcp(device.ipv4[0], 2222), "open", "control: the trap is real");
      t.not(await firewall.read(), narrow, "and reading back shows it");
      await firewall.replace(narrow);
      t.equal(await outside.tcp(device.ipv4[0], 2222), "silent");
      t.equal(await firewall.read(), narrow);
    });

    await t.test("[LCK-6] a connection made while a door was open ends with the door, in and out", async (t) => {
      const inward = await outside.hold(device.ipv4[0], 8080);
      const outward = await device.hold(outside.ipv4[0], 7000);
      const tunnel = await device.hold(outside.ipv6[0], HUB_PORT);
      t.same(await Promise.all([inward(), outward(), tunnel()]), ["open", "open", "open"]);
      await firewall.replace(tableOf({}));
      t.same(await Promise.all([inward(), outward(), tunnel()]), ["silent", "silent", "open"], "only the tunnel may go on");
      await firewall.replace(tableOf({}, { ...SNAPSHOT, hub: [] }));
      t.equal(await tunnel(), "silent", "a policy that shuts the tunnel out can't be confirmed through it");
    });

    await t.test("[LCK-2] ping is for whom the policy names", async (t) => {
      const pings = async (echo: string): Promise<readonly boolean[]> => {
        await firewall.replace(tableOf({ ...network, echo }));
        return [outside.ping(device.ipv4[0]), outside.ping(device.ipv6[0])];
      };
      t.same(await pings("any"), [true, true]);
      t.same(await pings("management"), [false, true]);
      t.same(await pings("none"), [false, false]);
    });
  });

/** What a careless program would load. */
function flushAndLoad(nft: readonly [string, ...string[]], table: string): void {
  const [program, ...before] = nft;
  spawnSync(program, [...before, "-f", "-"], { input: `flush table inet sallyport\n${table}` });
}
