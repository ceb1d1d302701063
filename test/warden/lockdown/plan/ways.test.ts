// The way to the hub on real networks that are not the usual one: by a tunnel, by another routing
// table, by a resolver on the machine. Behind the planned table the hub is reached by a real
// connection, and nothing comes in.
import { spawnSync } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Test, test } from "tap";
import * as v from "valibot";
import { linuxFirewall } from "../../../../hal/linux/firewall/index.ts";
import { planLockdown } from "../../../../warden/lockdown/plan/index.ts";
import {
  lacksProbeNetwork,
  openEmptyNetwork,
  openProbeNetwork,
  type ProbeNetwork,
} from "../../../lab/counterparts/network-probe.ts";
import { isLongRun } from "../../../lab/runner/long-run.ts";
import { needs, NFT_DEBIAN13 } from "../../../lab/runner/needs.ts";
import { startProgram } from "../../../lab/runner/process.ts";
import { temporaryDirectory } from "../../../lab/runner/temporary.ts";
import { labPolicy, labSnapshot } from "../../../lab/worlds/lockdown.ts";

const CHILD = fileURLToPath(new URL("../../../lab/counterparts/planning-child.ts", import.meta.url));
const DNS_CHILD = fileURLToPath(new URL("../../../lab/counterparts/dns-child.ts", import.meta.url));
const HUB_PORT = 8883;
/** The other rows show the same in less time. */
const LONG = isLongRun() ? false : "it takes long: SALLYPORT_TESTS=long";

const plannedSchema = v.object({
  facts: v.object({
    leads: v.array(v.string()),
    nameService: v.string(),
    links: v.array(
      v.object({
        name: v.string(),
        uplink: v.string(),
        below: v.array(v.object({ link: v.optional(v.string()), peer: v.optional(v.string()), port: v.optional(v.number()) })),
      }),
    ),
  }),
  plans: v.array(v.object({ table: v.string(), risks: v.array(v.string()), unknown: v.array(v.string()) })),
});
type Planned = v.InferOutput<typeof plannedSchema>;
type Change = Readonly<Record<string, unknown>>;

interface Rig {
  readonly network: ProbeNetwork;
  /** The machine's files as the planner sees them. */
  readonly root: string;
  /** Runs a command on a side. */
  on(this: void, side: "device" | "outside", ...words: readonly string[]): string;
  /** Starts a program on a side and waits until it has written `ready`. */
  start(this: void, side: "device" | "outside", ready: RegExp, ...words: readonly string[]): Promise<void>;
  /** @param policies null: no policy at all. */
  plan(hub: string | undefined, policies: readonly (Change | null)[]): Planned;
  load(planned: Planned, n?: number): Promise<void>;
}

async function rig(t: Test, resolv = ""): Promise<Rig> {
  const network = await openProbeNetwork("netns");
  const ending: (() => Promise<unknown>)[] = [];
  t.teardown(async () => {
    for (const end of ending) await end();
    await network.stop();
  });
  const root = await temporaryDirectory(t);
  mkdirSync(join(root, "etc"));
  writeFileSync(join(root, "etc/resolv.conf"), resolv);
  symlinkSync("/proc", join(root, "proc"));
  symlinkSync("/sys", join(root, "sys"));
  const on: Rig["on"] = (side, ...words) => {
    const [program = "", ...args] = [...network.enter[side], ...words];
    const { stdout, stderr, status } = spawnSync(program, args, { encoding: "utf8" });
    t.equal(status, 0, `${words.join(" ")}: ${stderr}`);
    return stdout;
  };
  return {
    network,
    root,
    on,
    start: async (side, ready, ...words) => {
      const [command = "", ...args] = [...network.enter[side], ...words];
      const program = startProgram({ name: words[0] ?? "", command, args, input: true });
      ending.push(() => program.stop());
      await program.line(ready);
    },
    plan: (address, policies) => {
      const asked = {
        root,
        hub: [{ ...(address === undefined ? {} : { address }), port: HUB_PORT }],
        policies: policies.map((policy) => (policy === null ? null : labPolicy({ network: {}, serial: {}, ...policy }))),
      };
      return v.parse(plannedSchema, JSON.parse(on("device", process.execPath, CHILD, JSON.stringify(asked))));
    },
    load: async ({ plans }, n = 0) => {
      const table = plans[n]?.table ?? "";
      t.equal(await linuxFirewall({ command: [...network.nft] }).replace(table), table, "the kernel has what was planned");
    },
  };
}

/** The hub answers, and of what the device listens on nothing answers, on any of its addresses. */
async function onlyTheHub(t: Test, { network: { device, outside } }: Rig, hub: string, own: readonly string[]): Promise<void> {
  t.equal(await device.tcp(hub, HUB_PORT), "open", "the hub is reached");
  for (const address of own) t.equal(await outside.tcp(address, 8080), "silent", `nothing comes in at ${address}`);
}

/** A kind of tunnel: how it is made on a side, toward the other one. */
interface Tunnel {
  readonly skip: string | false;
  readonly make: (rig: Rig) => Promise<void>;
  /** The far end as the kernel names it; undefined: it names none. */
  readonly peer: string | undefined;
}

const ENDS = { device: ["198.18.7.2", "198.18.7.1"], outside: ["198.18.7.1", "198.18.7.2"] } as const;

function kernelTunnel(kind: string, ...options: readonly string[]): Tunnel {
  return {
    skip: lacksTunnel(kind),
    peer: "198.18.7.1",
    make: async ({ on }) => {
      for (const side of ["device", "outside"] as const) {
        const [local, remote] = ENDS[side];
        on(side, "ip", "link", "add", "tun7", "type", kind, ...options, "local", local, "remote", remote);
        on(side, "ip", "address", "add", `10.99.0.${side === "device" ? 2 : 1}/24`, "dev", "tun7");
        on(side, "ip", "link", "set", "tun7", "up");
      }
    },
  };
}

/** A module that the kernel lacks is no part that could be installed. */
function lacksTunnel(kind: string): string | false {
  const why = lacksProbeNetwork("netns");
  if (why !== false) return why;
  const ends = ["local", "198.18.7.2", "remote", "198.18.7.1"];
  const options = kind === "vxlan" ? ["id", "7", "dstport", "4789", ...ends] : kind === "wireguard" ? [] : ends;
  const { status } = spawnSync("unshare", ["-n", "ip", "link", "add", "tun7", "type", kind, ...options]);
  return status === 0 ? false : `needs a kernel with ${kind}`;
}

/** A program's tunnel over a tun device: only the program knows its far end. */
const SOCAT: Tunnel = {
  skip: LONG || lacksProbeNetwork("netns") || needs("socat"),
  peer: undefined,
  make: async ({ start }) => {
    const tun = (n: number): string => `TUN:10.99.0.${n}/24,tun-name=tun7,iff-up`;
    for (const side of ["outside", "device"] as const) {
      const [local, remote] = ENDS[side];
      const packets = `UDP4-DATAGRAM:${remote}:51820,bind=${local}:51820`;
      await start(side, /starting data transfer/u, ...socat(tun(side === "device" ? 2 : 1), packets));
    }
  },
};

/** It writes its messages to stderr, which is told to stdout here. */
function socat(...ends: readonly string[]): readonly string[] {
  return ["sh", "-c", `exec socat -d -d ${ends.map((end) => `'${end}'`).join(" ")} 2>&1`];
}

const WIREGUARD: Tunnel = {
  skip: lacksTunnel("wireguard") || (spawnSync("wg", ["--version"]).status === 0 ? false : "needs wg of wireguard-tools"),
  peer: "198.18.7.1",
  make: async ({ on }) => {
    const keys = { device: on("device", "wg", "genkey").trim(), outside: on("device", "wg", "genkey").trim() };
    for (const [side, other] of [
      ["device", "outside"],
      ["outside", "device"],
    ] as const) {
      const far = spawnSync("wg", ["pubkey"], { input: keys[other], encoding: "utf8" }).stdout.trim();
      on(side, "ip", "link", "add", "tun7", "type", "wireguard");
      const set = `echo ${keys[side]} | wg set tun7 private-key /dev/stdin listen-port 51820`;
      on(side, "sh", "-c", `${set} peer ${far} allowed-ips 10.99.0.0/24 endpoint ${ENDS[side][1]}:51820`);
      on(side, "ip", "address", "add", `10.99.0.${side === "device" ? 2 : 1}/24`, "dev", "tun7");
      on(side, "ip", "link", "set", "tun7", "up");
    }
  },
};

const TUNNELS: Readonly<Record<string, Tunnel>> = {
  // with one port for all: the answers come from where the packets went
  vxlan: kernelTunnel("vxlan", "id", "7", "dstport", "4789", "srcport", "4789", "4790"),
  gre: kernelTunnel("gre"),
  ipip: kernelTunnel("ipip"),
  wireguard: WIREGUARD,
  "a program's": SOCAT,
};

for (const [what, { skip, make, peer }] of Object.entries(TUNNELS))
  test(
    `[LCK-43] a hub behind a tunnel (${what}) is reached behind the shut table, and a policy that names the tunnel alone is a risk`,
    { skip },
    async (t) => {
      const world = await rig(t);
      await make(world);
      await world.network.outside.listen(HUB_PORT);
      await world.network.device.listen(8080);
      const alone = { links: [{ name: "tun7" }] };
      const whole = { links: [{ name: "tun7" }, { name: "eth0", dhcp4: true, dhcp6: true }] };
      const planned = world.plan("10.99.0.1", [null, alone, { mode: "shut", ...whole }, whole]);
      t.same(planned.facts.leads, ["tun7"], "the kernel names the tunnel");
      const below = planned.facts.links.find(({ name }) => name === "tun7")?.below ?? [];
      t.same([...new Set(below.map((one) => one.peer))], [peer]);
      if (peer !== undefined) t.same([...new Set(below.map((one) => one.link))], ["eth0"]);
      t.equal((planned.plans[0]?.unknown ?? []).length > 0, peer === undefined, "what is not known is told");
      t.match(planned.plans[1]?.risks.join("\n"), /the tunnel "tun7"/u);
      for (const n of [0, 2]) {
        await world.load(planned, n);
        await onlyTheHub(t, world, "10.99.0.1", ["198.18.7.2", "10.99.0.2"]);
      }
      await world.load(planned, 3);
      t.not(await world.network.device.tcp("10.99.0.1", HUB_PORT), "open", "without its outer packets the tunnel is cut");
    },
  );

for (const [build, nft] of [
  ["of this machine", "nft"],
  ["of Debian 13", NFT_DEBIAN13],
] as const)
  test(
    `[LCK-43] [LCK-5] protocols without ports are read back as they were planned: nft ${build}`,
    { skip: lacksProbeNetwork("netns") || (build === "of Debian 13" && needs("nft-debian13")) },
    async (t) => {
      const network = await openEmptyNetwork("netns");
      t.teardown(() => network.stop());
      const below = (["esp", "gre", "ipip", "ipv6"] as const).flatMap((protocol) =>
        ["198.18.77.1", "2001:db8::7", undefined].map((peer) => ({ link: undefined, protocol, peer, port: undefined })),
      );
      const link = { name: "wg0", uplink: "used", dhcp4: "unused", dhcp6: "unused", usb: undefined, below } as const;
      const table = planLockdown(undefined, labSnapshot({ links: [link] })).firewall;
      t.match(table, /^\t\tip6 daddr 2001:db8::7 meta l4proto 41 accept$/mu);
      const [first = "", ...words] = network.nft.slice(0, -1);
      t.equal(await linuxFirewall({ command: [first, ...words, nft] }).replace(table), table);
    },
  );

test(
  "[LCK-41] policy routing: the kernel's lookup names the link, and a default route for marked packets is a risk to cut",
  { skip: lacksProbeNetwork("netns") },
  async (t) => {
    const world = await rig(t);
    const { on, network } = world;
    const policies = [null, { links: [{ name: "eth1" }] }, { links: [{ name: "eth0" }, { name: "eth1" }] }];
    on("outside", "ip", "address", "add", "203.0.113.9/32", "dev", "lo");
    await network.outside.listen(HUB_PORT);
    await network.device.listen(8080);
    on("device", "ip", "route", "add", "default", "via", "198.18.7.1", "table", "77");
    const none = world.plan("203.0.113.9", policies);
    t.same(none.facts.leads, [], "no rule leads to the table");
    t.match(none.plans[1]?.risks.join(), /"eth0" leads to the hub could not be told/u);
    on("device", "ip", "rule", "add", "fwmark", "0x100/0x3f00", "table", "77");
    on("device", "ip", "route", "add", "default", "via", "198.18.8.1");
    const marked = world.plan("203.0.113.9", policies);
    t.same(marked.facts.leads, ["eth1"]);
    t.match(marked.plans[1]?.risks.join(), /"eth0" leads to the hub could not be told: by a rule/u);
    t.notMatch(marked.plans[2]?.risks.join(), /leads to the hub/u);
    on("device", "ip", "rule", "add", "pref", "100", "table", "77");
    const ruled = world.plan("203.0.113.9", policies);
    t.same(ruled.facts.leads, ["eth0"], "by a rule for all");
    t.match(ruled.plans[1]?.risks.join(), /none of the interfaces that lead to the hub is in "links": eth0/u);
    await world.load(ruled);
    await onlyTheHub(t, world, "203.0.113.9", ["198.18.7.2", "198.18.8.2"]);
    await world.load(ruled, 1);
    t.not(await network.device.tcp("203.0.113.9", HUB_PORT), "open", "the risk was right");
  },
);

test(
  "[LCK-41] policy routing by source, of IPv6, and by several next hops, as this kernel and iproute2 tell them",
  { skip: lacksProbeNetwork("netns") },
  async (t) => {
    const world = await rig(t);
    const { on } = world;
    const ip = (words: string): unknown => on("device", "ip", ...words.split(" "));
    const one = [{ links: [{ name: "eth1", ipv6: true }] }];
    for (const n of [7, 8]) ip(`-6 address add fd5a:77:${n}::2/64 dev eth${n - 7} nodad`);
    ip("-6 route add default via fd5a:77:8::1");
    ip("-6 route add default via fd5a:77:7::1 table 77");
    ip("-6 rule add fwmark 0x100 table 77");
    const six = world.plan("2001:db8::9", one);
    t.same(six.facts.leads, ["eth1"]);
    t.match(six.plans[0]?.risks.join(), /"eth0" leads to the hub could not be told: by a rule/u);
    ip("route add default via 198.18.8.1");
    ip("route add default via 198.18.7.1 table 78");
    ip("rule add from 198.18.8.2 table 78");
    const source = world.plan("203.0.113.9", one);
    t.match(source.plans[0]?.risks.join(), /203\.0\.113\.9 of the hub is reached by eth0/u);
    ip("rule delete from 198.18.8.2 table 78");
    ip("route replace default nexthop via 198.18.7.1 nexthop via 198.18.8.1");
    const [name = ""] = world.plan("203.0.113.9", one).facts.leads;
    const several = world.plan("203.0.113.9", [{ links: [{ name }] }]);
    t.match(several.plans[0]?.risks.join(), /"eth[01]" leads to the hub could not be told: by a rule/u, `beside ${name}`);
  },
);

const NAMES = { "big.test": Array.from({ length: 60 }, (_, n) => `203.0.113.${n + 1}`), "small.test": ["203.0.113.9"] };

/** Looks a name up as the machine's C library does. @returns how many addresses. */
function lookUpByLibrary({ on, root }: Rig, name: string): number {
  const asked = `mount --bind ${root}/etc/resolv.conf /etc/resolv.conf; getent ahostsv4 ${name} || true`;
  return [...on("device", "unshare", "--mount", "sh", "-c", asked).matchAll(/STREAM/gu)].length;
}

/** Looks a name up as c-ares does, with `server` as its only one. @returns how many addresses. */
function lookUp({ network }: Rig, server: string, name: string): number {
  const code = `const r = new (require("node:dns").Resolver)({ timeout: 500, tries: 2 }); r.setServers(["${server}"]);
    r.resolve4("${name}", (error, found) => console.log(error ? 0 : found.length));`;
  const [program, ...args] = ["env", ...network.enter.device, process.execPath, "-e", code];
  return Number(spawnSync(program, args, { encoding: "utf8" }).stdout);
}

test(
  "[LCK-45] a name whose answer does not fit UDP is looked up behind a policy that names UDP port 53 only",
  { skip: lacksProbeNetwork("netns") },
  async (t) => {
    const world = await rig(t, "nameserver 198.18.7.1\n");
    await world.start("outside", /^ready$/u, process.execPath, DNS_CHILD, "198.18.7.1", JSON.stringify(NAMES));
    const outbound = [{ protocol: "udp", ports: [53, 123], to: ["198.18.7.0/24"] }];
    const planned = world.plan(undefined, [{ links: [{ name: "eth0", dhcp4: true }], network: { outbound } }]);
    await world.load(planned);
    t.equal(lookUp(world, "198.18.7.1", "small.test"), 1);
    t.equal(lookUp(world, "198.18.7.1", "big.test"), 60, "by TCP");
    t.equal(lookUpByLibrary(world, "big.test"), 60);
    const udpOnly = world.plan("203.0.113.1", [{ links: [{ name: "eth0", dhcp4: true }], network: { outbound } }]);
    await world.load(udpOnly);
    t.equal(lookUp(world, "198.18.7.1", "small.test"), 1);
    t.equal(lookUp(world, "198.18.7.1", "big.test"), 0, "without TCP port 53 it is not found");
    t.equal(lookUpByLibrary(world, "big.test"), 0);
  },
);

test(
  "[LCK-42] behind the shut table a resolver on the machine still asks its server, which nothing names",
  { skip: LONG || lacksProbeNetwork("netns") || needs("socat") },
  async (t) => {
    const world = await rig(t, "nameserver 127.0.0.1\n");
    await world.start("outside", /^ready$/u, process.execPath, DNS_CHILD, "198.18.7.1", JSON.stringify(NAMES));
    const stub = ["53,bind=127.0.0.1,fork", "198.18.7.1:53"] as const;
    await world.start("device", /receiving on/u, ...socat(`UDP4-RECVFROM:${stub[0]}`, `UDP4:${stub[1]}`));
    await world.start("device", /listening on/u, ...socat(`TCP4-LISTEN:${stub[0]}`, `TCP4:${stub[1]}`));
    await world.network.device.listen(8080);
    const planned = world.plan(undefined, [null, { mode: "shut", links: [{ name: "eth0", dhcp4: true }] }]);
    t.equal(planned.facts.nameService, "unknown");
    for (const n of [0, 1]) {
      t.match(planned.plans[n]?.unknown.join(), /name could not be told/u);
      await world.load(planned, n);
      t.equal(lookUp(world, "127.0.0.1", "big.test"), 60);
      t.equal(await world.network.outside.tcp("198.18.7.2", 8080), "silent");
      t.equal(await world.network.outside.udp("198.18.7.2", 8080), "silent");
    }
  },
);
