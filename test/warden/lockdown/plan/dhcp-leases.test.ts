// Real DHCP clients behind the planned table, for longer than a lease; and what is known of them.
import { setTimeout as sleep } from "node:timers/promises";
import { type Test, test } from "tap";
import { planLockdown } from "../../../../warden/lockdown/plan/index.ts";
import { CLIENTS, DhcpNetwork, type Lease } from "../../../lab/counterparts/dhcp-network.ts";
import { lacksProbeNetwork } from "../../../lab/counterparts/network-probe.ts";
import { isLongRun } from "../../../lab/runner/long-run.ts";
import { needs } from "../../../lab/runner/needs.ts";
import { eventually } from "../../../lab/runner/process.ts";
import { labPolicy, labSnapshot } from "../../../lab/worlds/lockdown.ts";

const skip = lacksProbeNetwork("netns") || needs("dhcp", "networkd");
/** dhcpcd takes no lease for less than 20 s. */
const LEASE: Lease = isLongRun()
  ? { validS: 24, preferredS: 18, renewS: 6, rebindS: 12 }
  : { validS: 9, preferredS: 6, renewS: 2, rebindS: 4 };
const QUICK = ["udhcpc without a trace", "dhclient", "networkd"] as const;

const tableOf = (dhcp: boolean): string =>
  planLockdown(labPolicy({ links: [{ name: "eth0", dhcp4: dhcp, dhcp6: dhcp, ipv6: true }] }), labSnapshot()).firewall;
/** Shut, by a policy that names no DHCP, where it could not be told whether it is in use. */
const SHUT = planLockdown(
  labPolicy({ mode: "shut", links: [{ name: "eth0", ipv6: true }] }),
  labSnapshot({
    links: [{ name: "eth0", uplink: "used", dhcp4: "unknown", dhcp6: "unknown", usb: undefined, below: [] }],
  }),
).firewall;

/** Whether the client has DHCPv6, and what is known of it where it is bound. */
const KNOWN: Readonly<Record<keyof typeof CLIENTS, readonly [RegExp | undefined, RegExp | undefined | "none"]>> = {
  "udhcpc of busybox": [/^\/run\/udhcpc\.eth0\.pid$/u, "none"],
  "udhcpc without a trace": [undefined, "none"],
  dhclient: [/^\/run\/dhclient\.eth0\.pid$/u, /^\/run\/dhclient6\.eth0\.pid$/u],
  "dhcpcd 9": [/^\/run\/dhcpcd\/eth0\.pid$/u, /^\/var\/lib\/dhcpcd\/eth0\.lease6$/u],
  "dhcpcd 10": [/^\/run\/dhcpcd\/eth0\.pid$/u, /^\/var\/lib\/dhcpcd\/eth0\.lease6$/u],
  networkd: [/^\/run\/systemd\/netif\/leases\/\d+$/u, /^\/run\/systemd\/netif\/links\/\d+$/u],
};

function chosen(): readonly (keyof typeof CLIENTS)[] {
  return Object.keys(CLIENTS).filter(
    (name): name is keyof typeof CLIENTS => name in CLIENTS && (isLongRun() || QUICK.some((one) => one === name)),
  );
}

/**
 * How often a client may lose an address because this machine was too busy to run it in time. A
 * table that stands in its way makes it lose one each time.
 */
const TRIES = 3;

async function keepsItsLeases(t: Test, network: DhcpNetwork, client: keyof typeof CLIENTS, table = tableOf(true)): Promise<void> {
  const [trace4, trace6] = KNOWN[client];
  const families = trace6 === "none" ? 1 : 2;
  for (let tries = 1; tries <= TRIES; tries += 1) {
    const device = await network.plug(client, table);
    const bound = await eventually(`${client} has its addresses`, async () => {
      const said = await device.ask();
      return new Set(said.addresses.map((one) => one.includes(":"))).size === families ? said : undefined;
    });
    // a client that leaves nothing may be seen while it asks
    const isSeen = trace4 !== undefined || bound.dhcp4 !== "unknown";
    t.equal(bound.dhcp4, isSeen ? "used" : "unknown", `${client}, DHCPv4: ${bound.dhcp4Trace ?? "nothing"}`);
    if (isSeen) t.match(bound.dhcp4Trace, trace4 ?? /^a packet socket of a DHCP client/u);
    if (trace6 !== undefined && trace6 !== "none") {
      t.equal(bound.dhcp6, "used", `${client}, DHCPv6: ${bound.dhcp6Trace ?? "nothing"}`);
      t.match(bound.dhcp6Trace, trace6);
    }
    await sleep(1.5 * 1000 * LEASE.validS);
    const after = await device.ask();
    const lost = after.lost.filter((address) => bound.addresses.some((one) => address.startsWith(`${one}/`)));
    if (lost.length > 0 && tries < TRIES) continue;
    t.same([lost, after.addresses], [[], bound.addresses], `${client} has its addresses after their lease, and never lost one`);
    return;
  }
}

test(
  "[LCK-44] [LCK-50] [LCK-53] real clients keep their leases where a policy names DHCP, and shut where it could not be told; they are known by their traces",
  { skip },
  async (t) => {
    const network = await DhcpNetwork.open(t, LEASE);
    const clients = chosen();
    const control = async (): Promise<void> => {
      const device = await network.plug("dhclient", tableOf(false));
      await sleep(1.5 * 1000 * LEASE.validS);
      t.same(
        (await device.ask()).addresses.filter((one) => one.includes(":")),
        [],
        "control: without DHCPv6 in the policy there is no lease",
      );
    };
    const named = clients.map((client) => keepsItsLeases(t, network, client));
    const shut = clients
      .filter((client) => isLongRun() || client !== "dhclient")
      .map((client) => keepsItsLeases(t, network, client, SHUT));
    await Promise.all([...named, ...shut, control()]);
  },
);

test(
  "[LCK-53] a server behind a relay agent is asked by unicast through the router, and answers",
  { skip: skip || (!isLongRun() && "it takes another minute: SALLYPORT_TESTS=long") },
  async (t) => {
    const network = await DhcpNetwork.open(t, LEASE, true);
    await Promise.all((["dhclient", "networkd", "dhcpcd 10"] as const).map((client) => keepsItsLeases(t, network, client)));
  },
);
