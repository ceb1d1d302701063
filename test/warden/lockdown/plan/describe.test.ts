// Plans as text for people.
import { test } from "tap";
import { differenceOf, planLockdown, staysOpen } from "../../../../warden/lockdown/plan/index.ts";
import { labPolicy, labSnapshot } from "../../../lab/worlds/lockdown.ts";

const before = planLockdown(labPolicy(), labSnapshot());

test("[LCK-4] everything that stays open has a line with its reason", async (t) => {
  t.same(staysOpen(before), [
    "link eth0, DHCP, IPv6",
    "in: tcp 8080 from anybody on eth0 (policy)",
    "in: udp 68 from anybody on eth0 (dhcp)",
    "out: udp 67 to anybody on eth0 (dhcp)",
    "out: tcp 53 to 198.18.7.1 (name-service)",
    "out: udp 53 to 198.18.7.1 (policy)",
    "out: tcp 8443 8883 to anybody (hub)",
    'usb 0951:1666 serial "60A44C413FAE", interfaces 08:06:50',
    "serial ttyS0, console",
  ]);
});

test("[LCK-4] the difference of two plans lists what opens and what closes, nothing else", async (t) => {
  t.same(differenceOf(before, before), { opens: [], closes: [] });
  const after = planLockdown(
    labPolicy({
      network: { inbound: [{ link: "eth0", protocol: "tcp", ports: ["8080-8081"], from: "any" }], echo: "any" },
      usb: { disable: ["1-3"] },
    }),
    labSnapshot(),
  );
  t.same(differenceOf(before, after), {
    opens: ["in: tcp 8080-8081 from anybody on eth0 (policy)", "in: ping from anybody", "usb port 1-2"],
    closes: [
      "in: tcp 8080 from anybody on eth0 (policy)",
      "out: tcp 53 to 198.18.7.1 (name-service)",
      "out: udp 53 to 198.18.7.1 (policy)",
      'usb 0951:1666 serial "60A44C413FAE", interfaces 08:06:50',
      "usb port 1-3",
    ],
  });
  t.same(differenceOf(undefined, before).closes, ["usb port 1-2"]);
});

test("[LCK-4] text from a policy is printed with its control characters replaced", async (t) => {
  const rule = { vendor: "0951", product: "1666", serial: "a\u001b[2Jb\u202e", interfaces: ["08:06:50"] };
  const lines = staysOpen(planLockdown(labPolicy({ usb: { allow: [rule] } }), labSnapshot()));
  t.match(lines.join(""), /serial "a\\u001b\[2Jb\\u202e"/u);
  t.notMatch(lines.join(""), /[^\u0020-\u007e]/u);
});
