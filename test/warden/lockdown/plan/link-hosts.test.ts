// What one packet does not show: path MTU discovery of real connections, and duplicate addresses.
import { randomBytes } from "node:crypto";
import { type Test, test } from "tap";
import { runProgram } from "../../../../hal/linux/process/index.ts";
import { planLockdown } from "../../../../warden/lockdown/plan/index.ts";
import { lacksProbeNetwork } from "../../../lab/counterparts/network-probe.ts";
import { needs } from "../../../lab/runner/needs.ts";
import { eventually, HANG_MS, startProgram } from "../../../lab/runner/process.ts";
import { labPolicy, labSnapshot } from "../../../lab/worlds/lockdown.ts";

const bounds = { timeoutMs: HANG_MS, outputBytesMax: 1 << 20 };
const skip = lacksProbeNetwork("netns") || needs("socat");
/** Many full packets. */
const BYTES = 300_000;
const [HUB, DOOR] = [8883, 8080];

const TABLE = planLockdown(
  labPolicy({
    links: [{ name: "eth0", ipv6: true }],
    network: { inbound: [{ link: "eth0", protocol: "tcp", ports: [DOOR], from: "any" }] },
  }),
  labSnapshot({ hub: [{ address: undefined, port: HUB }] }),
).firewall;

/** A device, a router, and a far side behind a link with a smaller MTU, each with both families. */
async function openPath(t: Test) {
  const id = randomBytes(3).toString("hex");
  const names = { device: `dev-${id}`, router: `rou-${id}`, far: `far-${id}` };
  t.teardown(async () => {
    for (const name of Object.values(names)) await runProgram("ip", ["netns", "delete", name], bounds).catch(() => undefined);
  });
  for (const name of Object.values(names)) await runProgram("ip", ["netns", "add", name], bounds);
  const run = async (side: keyof typeof names, script: string): Promise<string> =>
    (await runProgram("ip", ["netns", "exec", names[side], "sh", "-e", "-c", script], bounds)).stdout;
  const up = (link: string, four: string, six: string): string =>
    `ip link set ${link} up; ip address add ${four}/24 dev ${link}; ip address add ${six}/64 dev ${link} nodad\n`;
  const via = (four: string, six: string): string => `ip route add default via ${four}; ip route add default via ${six}\n`;
  await run(
    "router",
    `ip link add near type veth peer name eth0 netns ${names.device}; ip link add wide type veth peer name eth0 netns ${names.far}
     ${up("near", "198.18.7.1", "fd5a:7::1")} ${up("wide", "198.18.9.1", "fd5a:9::1")} ip link set wide mtu 1300
     echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding`,
  );
  await run("device", `ip link set lo up\n${up("eth0", "198.18.7.2", "fd5a:7::2")}${via("198.18.7.1", "fd5a:7::1")}`);
  await run(
    "far",
    `ip link set lo up\n${up("eth0", "198.18.9.2", "fd5a:9::2")}${via("198.18.9.1", "fd5a:9::1")}
    ip address add 198.18.9.3/24 dev eth0; ip address add fd5a:9::3/64 dev eth0 nodad`,
  );
  return { names, run };
}

type Path = Awaited<ReturnType<typeof openPath>>;

/** The device sends to a listener on the far side. @returns how many bytes arrived. */
async function send(t: Test, { names, run }: Path, to: string): Promise<number> {
  const family = to.includes(":") ? 6 : 4;
  const words = ["netns", "exec", names.far, "sh", "-c", `socat -u TCP${family}-LISTEN:${HUB},reuseaddr STDOUT | wc -c`];
  const listener = startProgram({ name: "listener", command: "ip", args: words, endsWithUs: true });
  t.teardown(async () => void (await listener.stop("SIGKILL")));
  await run("device", `head -c ${BYTES} /dev/zero | socat -u STDIN '${reached(to, HUB)}'`);
  return Number(await listener.line(/^\d+$/u));
}

function reached(to: string, port: number): string {
  return to.includes(":") ? `TCP6:[${to}]:${port},retry=300,interval=0.1` : `TCP4:${to}:${port},retry=300,interval=0.1`;
}

test(
  "[LCK-52] behind a link with a smaller MTU connections go on, those to the hub and those that a door lets in",
  { skip },
  async (t) => {
    const path = await openPath(t);
    await runProgram("ip", ["netns", "exec", path.names.device, "nft", "-f", "-"], { ...bounds, input: `${TABLE}${OBSERVER}` });
    // each far address is a path of its own, whose MTU must be learned
    const ways: readonly (readonly [string, "needed" | "too-big", () => Promise<number>])[] = [
      ["to the hub, IPv4", "needed", async () => await send(t, path, "198.18.9.2")],
      ["to the hub, IPv6", "too-big", async () => await send(t, path, "fd5a:9::2")],
      ["from a door, IPv4", "needed", async () => await answer(t, path, "198.18.7.2", "198.18.9.3")],
      ["from a door, IPv6", "too-big", async () => await answer(t, path, "fd5a:7::2", "fd5a:9::3")],
    ];
    for (const [what, error, transfer] of ways) {
      const before = await told(path, error);
      t.equal(await transfer(), BYTES, what);
      t.ok((await told(path, error)) > before, `${what}: the router said that a packet is too big`);
    }
  },
);

/** Behind the table: it counts what the table has accepted. */
const OBSERVER = `table inet observer {
  chain in {
    type filter hook input priority 100;
    icmp type destination-unreachable icmp code frag-needed counter comment "needed"
    icmpv6 type packet-too-big counter comment "too-big"
  }
}
`;

async function told({ run }: Path, error: string): Promise<number> {
  const listed = await run("device", "nft list table inet observer");
  return Number(new RegExp(`counter packets (\\d+) bytes \\d+ comment "${error}"`, "u").exec(listed)?.[1]);
}

/** A door of the device answers a connection from afar with many bytes. */
async function answer(t: Test, { names, run }: Path, to: string, from: string): Promise<number> {
  const family = to.includes(":") ? 6 : 4;
  const listens = `head -c ${BYTES} /dev/zero | socat -u STDIN TCP${family}-LISTEN:${DOOR},reuseaddr`;
  const door = startProgram({
    name: "door",
    command: "ip",
    args: ["netns", "exec", names.device, "sh", "-c", listens],
    endsWithUs: true,
  });
  t.teardown(async () => void (await door.stop("SIGKILL")));
  const bind = `bind=${family === 6 ? `[${from}]` : from}`;
  return Number((await run("far", `socat -u '${reached(to, DOOR)},${bind}' STDOUT | wc -c`)).trim());
}

test("[LCK-52] a duplicate address is found, by the device and by its neighbour", { skip }, async (t) => {
  const { names, run } = await openPath(t);
  await runProgram("ip", ["netns", "exec", names.device, "nft", "-f", "-"], { ...bounds, input: TABLE });
  const isDuplicate = async (side: "device" | "router", link: string, address: string): Promise<void> => {
    await run(side, `ip address add ${address}/64 dev ${link}`);
    await eventually(`${side} finds that ${address} is taken`, async () => {
      const shown = await run(side, `ip -6 address show dev ${link} to ${address}`);
      return shown.includes("dadfailed") ? true : undefined;
    });
  };
  await isDuplicate("device", "eth0", "fd5a:7::1");
  await isDuplicate("router", "near", "fd5a:7::2");
  await run("device", "ip address add fd5a:7::3/64 dev eth0");
  await eventually("a free address is used", async () =>
    / fd5a:7::3\/64 scope global $/mu.test(await run("device", "ip -6 address show dev eth0 to fd5a:7::3 | sed 's/ *$/ /'"))
      ? true
      : undefined,
  );
  t.pass("all of them");
});
