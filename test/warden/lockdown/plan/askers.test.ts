// A door of a service that is asked by multicast, with real packets on both families: who asked is
// answered from the port that was asked, and nobody else is.
import { type Test, test } from "tap";
import { linuxFirewall } from "../../../../hal/linux/firewall/index.ts";
import { runProgram } from "../../../../hal/linux/process/index.ts";
import type { Firewall } from "../../../../hal/ports.ts";
import { staysOpen } from "../../../../warden/lockdown/format/index.ts";
import { planLockdown } from "../../../../warden/lockdown/plan/index.ts";
import { lacksProbeNetwork, openProbeNetwork, type ProbeNetwork } from "../../../lab/counterparts/network-probe.ts";
import { HANG_MS } from "../../../lab/runner/process.ts";
import { labPolicy, labSnapshot } from "../../../lab/worlds/lockdown.ts";

const [GROUP4, GROUP6] = ["239.255.255.250", "ff02::c"];
/** SSDP's, and two beside it that no program listens on. */
const [ASKED, DEAF, UNASKED] = [1900, 1901, 1902];
const DROPPED = "EPERM";
/** The packet passes, and nobody listens there. */
const PASSED = "silent";

const planOf = (inbound: Readonly<Record<string, unknown>>) =>
  planLockdown(
    labPolicy({
      links: [{ name: "eth0", ipv6: true }],
      network: {
        management: ["198.18.7.3"],
        inbound: [{ link: "eth0", protocol: "udp", ports: [ASKED, DEAF, UNASKED], from: "any", ...inbound }],
      },
    }),
    labSnapshot(),
  );

interface Rig extends ProbeNetwork {
  readonly firewall: Firewall;
  readonly run: (side: "device" | "outside", ...command: readonly string[]) => Promise<string>;
}

async function open(t: Test): Promise<Rig> {
  const network = await openProbeNetwork("netns");
  t.teardown(() => network.stop());
  const run: Rig["run"] = async (side, ...command) => {
    const [program = "", ...args] = [...network[side].words, ...command];
    return (await runProgram(program, args, { timeoutMs: HANG_MS, outputBytesMax: 1 << 20 })).stdout;
  };
  await run("outside", "ip", "route", "add", "224.0.0.0/4", "dev", "out0");
  for (const group of [`${GROUP4}/32`, `${GROUP6}/128`])
    await run("device", "ip", "address", "add", group, "dev", "eth0", "autojoin");
  await network.device.listen(ASKED);
  return { ...network, firewall: linuxFirewall({ command: network.nft }), run };
}

async function whoAskedIsAnswered(t: Test, { device, outside, firewall }: Rig): Promise<void> {
  const { firewall: table } = planOf({});
  t.equal(await firewall.replace(table), table);
  t.equal(await device.udp(outside.ipv4[0], 6000, DEAF), DROPPED, "nobody has asked");
  t.equal(await outside.udp(GROUP4, ASKED), "open", "by multicast");
  t.equal(await outside.udp("198.18.7.255", ASKED), "open", "by broadcast");
  t.equal(await outside.udp(`${GROUP6}%out0`, ASKED), "open", "by multicast over IPv6");
  t.equal(await outside.udp(device.ipv4[0], ASKED), "open", "by unicast, as ever");
  await outside.udp(GROUP4, DEAF, 6000);
  t.equal(await device.udp(outside.ipv4[0], 6000, DEAF), PASSED, "the answer, however late in its time");
  t.equal(await device.udp(outside.ipv4[0], 6001, DEAF), DROPPED, "to another port");
  t.equal(await device.udp(outside.alias4, 6000, DEAF), DROPPED, "to another address");
  t.equal(await device.udp(outside.ipv4[0], 6000, UNASKED), DROPPED, "from a door that was not asked");
  t.equal(await device.udp(outside.ipv4[0], 6000, 1903), DROPPED, "from a port that is no door");
  t.equal(await firewall.read(), table, "[LCK-63] who asked is no part of the table");
}

async function anAskerThatStaysIsNotOurs(t: Test, { firewall, run }: Rig): Promise<void> {
  const { firewall: table } = planOf({});
  for (const timeout of ["1h", "20s"]) {
    t.equal(await firewall.replace(table), table);
    await run(
      "device",
      "nft",
      "add",
      "element",
      "inet",
      "sallyport",
      "askers4",
      `{ 198.18.7.1 . 6000 . 1902 timeout ${timeout} }`,
    );
    t.not(await firewall.read(), table, timeout);
  }
}

async function aFullSetIsFull(t: Test, { device, outside, firewall, run }: Rig): Promise<void> {
  await firewall.replace(planOf({}).firewall);
  const spoofed = Array.from({ length: 1024 }, (_, i) => `203.0.113.1 . ${i + 1} . ${DEAF}`);
  await run("device", "nft", "add", "element", "inet", "sallyport", "askers4", `{ ${spoofed.join(", ")} }`);
  await outside.udp(GROUP4, DEAF, 6000);
  t.equal(await device.udp(outside.ipv4[0], 6000, DEAF), DROPPED, "one too many is not answered");
  const listed = await run("device", "nft", "-j", "list", "set", "inet", "sallyport", "askers4");
  t.equal([...listed.matchAll(/"expires"/gu)].length, 1024);
}

async function onlyWhoMayAskIsNoted(t: Test, { device, outside, firewall }: Rig): Promise<void> {
  const { firewall: table } = planOf({ from: "management" });
  t.equal(await firewall.replace(table), table);
  t.equal(await outside.udp(GROUP4, ASKED), PASSED, "198.18.7.1 is no management address");
  await outside.udp(GROUP4, DEAF, 6000);
  t.equal(await device.udp(outside.ipv4[0], 6000, DEAF), DROPPED);
}

async function aRuleNamesASourcePort(t: Test, { device, outside, firewall }: Rig): Promise<void> {
  const plan = planLockdown(
    labPolicy({
      links: [{ name: "eth0", ipv6: true }],
      network: {
        inbound: [{ link: "eth0", protocol: "udp", ports: [ASKED], sourcePort: 6100, from: "any" }],
        outbound: [{ protocol: "udp", ports: [7000], sourcePort: 6200, to: "any" }],
      },
    }),
    labSnapshot(),
  );
  t.equal(await firewall.replace(plan.firewall), plan.firewall);
  t.equal(await outside.udp(device.ipv4[0], ASKED, 6100), "open");
  t.equal(await outside.udp(device.ipv4[0], ASKED, 6101), PASSED, "dropped at the door");
  t.equal(await device.udp(outside.ipv6[0], 7000, 6200), PASSED);
  t.equal(await device.udp(outside.ipv6[0], 7000, 6201), DROPPED);
  t.match(staysOpen(plan).join("\n"), /^in: udp 1900 from anybody port 6100 on eth0/mu);
  t.match(staysOpen(plan).join("\n"), /^out: udp 7000 from port 6200 to anybody/mu);
}

test("[LCK-62] a service that is asked by multicast answers who asked", { skip: lacksProbeNetwork("netns") }, async (t) => {
  const rig = await open(t);
  await t.test("from the port that was asked, on both families, and nobody else", (t) => whoAskedIsAnswered(t, rig));
  await t.test("[LCK-63] an asker that stays was put there by somebody else", (t) => anAskerThatStaysIsNotOurs(t, rig));
  await t.test("[LCK-63] the set of askers is bounded", (t) => aFullSetIsFull(t, rig));
  await t.test("only those for whom the door is open", (t) => onlyWhoMayAskIsNoted(t, rig));
  await t.test("[LCK-64] a rule that names a source port opens for that port only", (t) => aRuleNamesASourcePort(t, rig));
});

test("[LCK-62] a door that is not asked by multicast has no set: TCP, a shut policy, a link without IPv6", async (t) => {
  t.notMatch(planOf({ protocol: "tcp" }).firewall, /askers/u);
  const onlyIpv4 = planLockdown(
    labPolicy({
      links: [{ name: "eth0" }],
      network: { inbound: [{ link: "eth0", protocol: "udp", ports: [ASKED], from: "any" }] },
    }),
    labSnapshot(),
  );
  t.match(onlyIpv4.firewall, /askers4/u);
  t.notMatch(onlyIpv4.firewall, /askers6/u);
  t.match(staysOpen(onlyIpv4).join("\n"), /^in: udp 1900 from anybody on eth0, answered to who asks by multicast/mu);
});
