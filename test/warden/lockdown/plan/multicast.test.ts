// Multicast membership behind a switch that snoops: a real bridge with a querier forgets who does
// not answer. Its intervals are short here; by the standards they are some minutes.
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { type Test, test } from "tap";
import { runProgram } from "../../../../hal/linux/process/index.ts";
import { planLockdown } from "../../../../warden/lockdown/plan/index.ts";
import { lacksProbeNetwork } from "../../../lab/counterparts/network-probe.ts";
import { needs } from "../../../lab/runner/needs.ts";
import { eventually, HANG_MS, startProgram } from "../../../lab/runner/process.ts";
import { labPolicy, labSnapshot } from "../../../lab/worlds/lockdown.ts";

const GROUP4 = "239.1.2.3";
/** Solicited-node group of the device's address. (RFC 4291, section 2.7.1) */
const GROUP6 = "ff02::1:ff00:2";
const DOOR = 8080;
const ADDRESSES = { device: { 4: "198.18.7.2", 6: "fd5a:9::2" }, neighbour: { 4: "198.18.7.1", 6: "fd5a:9::1" } } as const;
/** In hundredths of a second, as the kernel's bridge takes them. */
const QUERY = 100;
const MEMBERSHIP = 250;

const ip = async (...args: readonly string[]): Promise<string> =>
  (await runProgram("ip", args, { timeoutMs: HANG_MS, outputBytesMax: 1 << 20 })).stdout;

/**
 * A switch in a namespace of its own, with the device at its port `p1` and a neighbour at `p2`. As
 * switches of hardware do, it floods no multicast to the device that nobody there has asked for.
 */
async function openSwitch(t: Test) {
  const id = randomBytes(3).toString("hex");
  const [device, bridge, neighbour] = [`dev-${id}`, `sw-${id}`, `nei-${id}`];
  t.teardown(async () => {
    for (const name of [device, bridge, neighbour]) await ip("netns", "delete", name).catch(() => undefined);
  });
  for (const name of [device, bridge, neighbour]) await ip("netns", "add", name);
  const snooping = ["mcast_snooping", "1", "mcast_querier", "1", "mcast_query_interval", `${QUERY}`];
  const times = ["mcast_query_response_interval", "50", "mcast_membership_interval", `${MEMBERSHIP}`];
  const start = ["mcast_startup_query_interval", "50", "mcast_startup_query_count", "2", "mcast_mld_version", "2"];
  await ip("-n", bridge, "link", "add", "br0", "type", "bridge", ...snooping, ...times, ...start);
  await ip("-n", bridge, "link", "set", "br0", "up");
  await ip("-n", bridge, "link", "add", "p1", "type", "veth", "peer", "name", "eth0", "netns", device);
  await ip("-n", bridge, "link", "add", "p2", "type", "veth", "peer", "name", "eth0", "netns", neighbour);
  await ip("-n", bridge, "link", "set", "p2", "master", "br0", "up");
  await ip("-n", neighbour, "link", "set", "eth0", "up");
  await ip("-n", neighbour, "address", "add", `${ADDRESSES.neighbour[6]}/64`, "dev", "eth0", "nodad");
  await ip("-n", neighbour, "address", "add", `${ADDRESSES.neighbour[4]}/24`, "dev", "eth0");
  return { device, bridge, neighbour };
}

async function groups(bridge: string): Promise<readonly string[]> {
  const shown = await ip("netns", "exec", bridge, "bridge", "mdb", "show", "dev", "br0");
  return [...shown.matchAll(/port p1 grp (\S+)/gu)].map(([, group]) => group ?? "");
}

/**
 * A neighbour that knows nothing of the device comes to its door.
 * @returns what the door says; "" when the device is not found.
 */
async function knock(neighbour: string, family: 4 | 6): Promise<string> {
  await ip("-n", neighbour, "neighbour", "flush", "dev", "eth0");
  const host = family === 4 ? ADDRESSES.device[4] : `[${ADDRESSES.device[6]}]`;
  return await ip("netns", "exec", neighbour, "socat", "-u", `TCP${family}:${host}:${DOOR},connect-timeout=30`, "STDOUT").catch(
    () => "",
  );
}

/**
 * @returns what is wrong after two membership intervals: groups that the switch has forgotten, and
 *   families in which a neighbour does not find the device.
 */
async function forgotten(t: Test, ipv6: boolean): Promise<readonly string[]> {
  const { device, bridge, neighbour } = await openSwitch(t);
  const families = ipv6 ? ([4, 6] as const) : ([4] as const);
  const policy = {
    links: [{ name: "eth0", ipv6 }],
    network: { inbound: [{ link: "eth0", protocol: "tcp", ports: [DOOR], from: "any" }] },
  };
  const { firewall: input } = planLockdown(labPolicy(policy), labSnapshot());
  const bounds = { timeoutMs: HANG_MS, outputBytesMax: 1 << 20 };
  await runProgram("ip", ["netns", "exec", device, "nft", "-f", "-"], { ...bounds, input });
  await ip("-n", device, "link", "set", "eth0", "up");
  await ip("-n", device, "address", "add", `${ADDRESSES.device[6]}/64`, "dev", "eth0", "nodad");
  await ip("-n", device, "address", "add", `${ADDRESSES.device[4]}/24`, "dev", "eth0");
  await ip("-n", device, "address", "add", `${GROUP4}/32`, "dev", "eth0", "autojoin");
  await ip("-n", bridge, "link", "set", "p1", "master", "br0", "up");
  await ip("netns", "exec", bridge, "bridge", "link", "set", "dev", "p1", "mcast_flood", "off");
  const missing = async (): Promise<readonly string[]> => {
    const known = await groups(bridge);
    return [GROUP4, ...(ipv6 ? [GROUP6] : [])].filter((group) => !known.includes(group));
  };
  await eventually("the switch knows the device's groups", async () => ((await missing()).length === 0 ? true : undefined));
  // Reports that nobody asked for are sent at the start only. After two membership intervals the
  // switch knows only who answered its queries.
  await sleep(2 * 10 * MEMBERSHIP);
  const deaf: string[] = [];
  for (const family of families) {
    const words = ["netns", "exec", device, "socat", "-u", "SYSTEM:echo found", `TCP${family}-LISTEN:${DOOR},reuseaddr`];
    const door = startProgram({ name: "door", command: "ip", args: words, endsWithUs: true });
    t.teardown(async () => void (await door.stop("SIGKILL")));
    await eventually("the door is open", async () => {
      const listening = await ip("netns", "exec", device, "ss", "-Hltn", `sport = :${DOOR}`);
      return listening === "" ? undefined : true;
    });
    if ((await knock(neighbour, family)) !== "found\n") deaf.push(`IPv${family}`);
  }
  return [...(await missing()), ...deaf];
}

test(
  "[LCK-2] behind a switch that snoops, the device stays a member of its groups, and is found by its neighbours",
  { skip: lacksProbeNetwork("netns") || needs("socat") },
  async (t) => t.same(await Promise.all([forgotten(t, true), forgotten(t, false)]), [[], []]),
);
