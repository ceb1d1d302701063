// Plans that would cut what must not be cut.
import { test } from "tap";
import { planLockdown, risksOf } from "../../../../warden/lockdown/plan/index.ts";
import { hubEndpoints, type MachineFacts } from "../../../../warden/lockdown/index.ts";
import { labPolicy, labSnapshot, seen } from "../../../lab/worlds/lockdown.ts";
import { HUB } from "../../../lab/fakes/usb-tree.ts";

const risks = (change: Readonly<Record<string, unknown>>, machine: Partial<MachineFacts> = {}): readonly string[] => {
  const facts = labSnapshot(machine);
  return risksOf(planLockdown(labPolicy(change), facts), facts);
};
const MODEM = { vendor: "2c7c", product: "0125", interfaces: ["ff:ff:ff"] };
const modemAt = (usb: string): MachineFacts["links"] => [
  { name: "wwan0", uplink: "used", dhcp4: "unused", dhcp6: "unused", below: [], usb },
];

test("[LCK-31] a policy that fits the machine cuts nothing", async (t) => {
  t.same(risks({}), []);
  t.same(risks({ mode: "shut" }), [], "and neither does the mode that shuts everything else");
  t.same(risksOf(planLockdown(undefined, labSnapshot()), labSnapshot()), [], "nor the lack of a policy");
});

const CUTS: Readonly<Record<string, readonly [Readonly<Record<string, unknown>>, RegExp, Partial<MachineFacts>?]>> = {
  "the interface that leads to the hub": [{ links: [{ name: "eth1" }] }, /"links": eth0/u],
  "every interface": [{ links: [] }, /"links": eth0/u],
  "the name servers": [{ network: {} }, /UDP port 53 to 198\.18\.7\.1/u],
  "the name servers, by naming another one": [
    { network: { outbound: [{ protocol: "udp", ports: [53], to: ["198.18.7.9"] }] } },
    /name cannot be looked up/u,
  ],
  DHCP: [{ links: [{ name: "eth0" }] }, /by DHCP, and "dhcp4"/u],
  "the console": [{ serial: { console: "ttyS1" } }, /console is on "ttyS0"/u],
  "a hub that is reached by IPv6": [
    { links: [{ name: "eth0", dhcp4: true }] },
    /hub cannot be reached: 2001:db8::5, TCP port 8883/u,
    { hub: [{ address: "2001:db8::5", port: 8883 }] },
  ],
  "the modem": [
    { links: [{ name: "wwan0" }], usb: {} },
    /"wwan0" is the USB device at "1-1\.4"/u,
    { links: modemAt("1-1.4"), usb: { controllers: [], ports: [], devices: [seen("1-1", HUB), seen("1-1.4", MODEM)] } },
  ],
};

for (const [what, [change, words, machine]] of Object.entries(CUTS))
  test(`[LCK-31] a policy that would cut ${what} is reported`, async (t) => {
    t.match(risks(change, machine).join("\n"), words);
  });

test("[LCK-3] the hub's endpoints: two ports, an address only where the anchors give one, and what the agent's configuration adds", async (t) => {
  t.same(hubEndpoints({ host: "hub.example", estPort: 8443, mqttPort: 8883 }), [
    { address: undefined, port: 8443 },
    { address: undefined, port: 8883 },
  ]);
  t.same(hubEndpoints({ host: "198.51.100.7", estPort: 443, mqttPort: 443 }, [{ address: undefined, port: 3128 }]), [
    { address: "198.51.100.7", port: 443 },
    { address: undefined, port: 3128 },
  ]);
});
