// The network rules probed from both sides, with real packets, against the planned table.
import { spawnSync } from "node:child_process";
import { type Test, test } from "tap";
import { linuxFirewall } from "../../../../hal/linux/firewall/index.ts";
import type { Firewall } from "../../../../hal/ports.ts";
import { planLockdown } from "../../../../warden/lockdown/plan/index.ts";
import type { MachineFacts } from "../../../../warden/lockdown/index.ts";
import { hubEndpoints } from "../../../../warden/lockdown/machine-facts.ts";
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
const FACTS: MachineFacts = labSnapshot({ hub: [{ address: undefined, port: HUB_PORT }] });
const tableOf = (network: Readonly<Record<string, unknown>>, facts = FACTS): string =>
  planLockdown(labPolicy({ network }), facts).firewall;

const SHUT = ["silent", "ECONNREFUSED", "EHOSTUNREACH", "EACCES", "EPERM"];

/** Probes that run side by side: most of them wait in vain. */
async function outcomes(probes: Readonly<Record<string, Promise<string>>>): Promise<Readonly<Record<string, string>>> {
  const done: Record<string, string> = {};
  for (const [what, probing] of Object.entries(probes)) {
    const outcome = await probing;
    done[what] = SHUT.includes(outcome) ? "shut" : outcome;
  }
  return done;
}

interface Rig {
  readonly probe: Awaited<ReturnType<typeof openProbeNetwork>>;
  readonly firewall: Firewall;
}

async function onlyNamedPortsAnswer(t: Test, { probe: { device, outside }, firewall }: Rig): Promise<void> {
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
        // fd5a:7::1 is a management address, 198.18.7.1 is not
        "for management only": eth0 === device.ipv6[0] ? "open" : "shut",
      },
    );
}

async function onlyTheHubIsReachable(t: Test, { probe: { device, outside }, firewall }: Rig): Promise<void> {
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
  await firewall.replace(planLockdown(undefined, FACTS).firewall);
  t.same(
    await outcomes({ hub: device.tcp(outside.ipv6[0], HUB_PORT), in: outside.tcp(device.ipv4[0], 8080) }),
    { hub: "open", in: "shut" },
    "the hub stays reachable without a policy",
  );
}

for (const [kind, who] of [
  ["netns", "as root"],
  ["user", "without root"],
] as const)
  test(`a device behind its table, ${who}`, { skip: lacksProbeNetwork(kind) }, async (t) => {
    const probe = await openProbeNetwork(kind);
    t.teardown(() => probe.stop());
    const { device, outside, nft } = probe;
    const firewall = linuxFirewall({ command: nft });
    for (const port of [8080, 8081, 9001, 2222, 5000]) await device.listen(port);
    for (const port of [7000, 7001, HUB_PORT]) await outside.listen(port);
    t.equal(await outside.tcp(device.ipv4[0], 8081), "open", "control: everything is open before");
    t.equal(await outside.tcp(device.ipv6[1], 8081), "open");

    await t.test("[LCK-2] what the policy names answers and all else is shut, on IPv4 and IPv6", (t) =>
      onlyNamedPortsAnswer(t, { probe, firewall }),
    );
    await t.test(
      "[LCK-3] the hub is reachable though no policy names it; other destinations that no rule names are refused at once",
      (t) => onlyTheHubIsReachable(t, { probe, firewall }),
    );

    await t.test("[TUN-63] a hub that is named by an IPv6 literal is reachable, and nothing else at its port", async (t) => {
      const hub = hubEndpoints({ host: outside.ipv6[0], estPort: HUB_PORT, mqttPort: HUB_PORT });
      await firewall.replace(planLockdown(undefined, { ...FACTS, hub }).firewall);
      const probes = { v6: device.tcp(outside.ipv6[0], HUB_PORT), v4: device.tcp(outside.ipv4[0], HUB_PORT) };
      t.same(await outcomes(probes), { v6: "open", v4: "shut" });
    });

    await t.test('[LCK-5] an address removed from the policy loses access; with "flush table" it would not', async (t) => {
      const [wide, narrow] = [tableOf({ ...network, management: ["198.18.7.0/24"] }), tableOf(network)];
      await firewall.replace(wide);
      t.equal(await outside.tcp(device.ipv4[0], 2222), "open");
      flushAndLoad(nft, narrow);
      t.equal(await outside.tcp(device.ipv4[0], 2222), "open", "control: the trap is real");
      t.not(await firewall.read(), narrow, "and reading back reveals it");
      await firewall.replace(narrow);
      t.equal(await outside.tcp(device.ipv4[0], 2222), "silent");
      t.equal(await firewall.read(), narrow);
    });

    await t.test("[LCK-6] a connection ends with the network rule that it was made under, in both directions", async (t) => {
      const inward = await outside.hold(device.ipv4[0], 8080);
      const outward = await device.hold(outside.ipv4[0], 7000);
      const tunnel = await device.hold(outside.ipv6[0], HUB_PORT);
      t.same(await Promise.all([inward(), outward(), tunnel()]), ["open", "open", "open"]);
      await firewall.replace(tableOf({}));
      t.same(await Promise.all([inward(), outward(), tunnel()]), ["silent", "silent", "open"], "only the tunnel may go on");
      await firewall.replace(tableOf({}, { ...FACTS, hub: [] }));
      t.equal(await tunnel(), "silent", "a policy that cuts the tunnel off cannot be confirmed through it");
    });

    await t.test("[LCK-2] only peers that the policy names may ping", async (t) => {
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
