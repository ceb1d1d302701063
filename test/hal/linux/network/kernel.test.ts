// What the kernel says by iproute2 and wg: a program that is missing, hangs or babbles, and the
// listings of tunnels that this machine's kernel may lack.
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Test, test } from "tap";
import { linuxNetwork } from "../../../../hal/linux/network/index.ts";
import type { NetworkFacts, NetworkTarget } from "../../../../hal/ports.ts";
import { isLongRun } from "../../../lab/runner/long-run.ts";
import { temporaryDirectory } from "../../../lab/runner/temporary.ts";

const ROUTES =
  "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n" +
  "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\nwg0\t0000630A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
const HUB: NetworkTarget = { address: "10.99.0.1", port: 8883 };
const NAMED: NetworkTarget = { address: undefined, port: 8883 };

/** A machine whose `ip` and `wg` are these scripts of a shell. */
async function machine(t: Test, ip: string, wg = "exit 1", files: Readonly<Record<string, string>> = {}) {
  const root = await temporaryDirectory(t);
  const all = {
    "bin/ip": `#!/bin/sh\n${ip}\n`,
    "bin/wg": `#!/bin/sh\n${wg}\n`,
    "proc/self/net/route": ROUTES,
    "sys/class/net/eth0/type": "1\n",
    "sys/class/net/wg0/type": "65534\n",
    "sys/class/net/wg0/uevent": "DEVTYPE=wireguard\nINTERFACE=wg0\n",
    ...files,
  };
  for (const [path, text] of Object.entries(all)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  chmodSync(join(root, "bin/ip"), 0o755);
  chmodSync(join(root, "bin/wg"), 0o755);
  return linuxNetwork({ root, ip: join(root, "bin/ip"), wg: join(root, "bin/wg") });
}

/** An `ip` that answers a line by the first of `answers` that the line begins with. */
const answering = (answers: Readonly<Record<string, string>>): string =>
  `while read line; do case "$line" in ${Object.entries(answers)
    .map(([line, answer]) => `"${line}"*) echo '${answer}';;`)
    .join(" ")} *) echo "[]";; esac; done`;

const below = ({ links }: NetworkFacts, name: string) => links.find((link) => link.name === name)?.below;
const UNTOLD = { link: undefined, protocol: "udp", peer: undefined, port: undefined };

const SILENT: Readonly<Record<string, string>> = {
  babbles: "echo 'Usage: ip [ OPTIONS ] OBJECT'; exit 255",
  "answers in another shape": `echo '[{"dst":7,"dev":"eth1"}]'`,
  "breaks off in the middle": `echo '[{"dst":"10.99.0.1","dev":"et'`,
  "writes without end": "while :; do echo '[{}]'; done",
  "says nothing": "exit 0",
  "is killed": "kill -9 $$",
};

for (const [what, ip] of Object.entries(SILENT))
  test(`[LCK-41] an ip that ${what} makes nothing known and nothing absent`, async (t) => {
    const facts = await (await machine(t, ip)).read([HUB]);
    t.same([facts.ways, facts.detours], [[], []]);
    t.same(below(facts, "wg0"), [UNTOLD], "a tunnel stays a tunnel");
    t.equal(facts.routes.length, 2, "the files are read all the same");
  });

test("[LCK-41] without ip the files are read; with ip, wg0 leads to the hub and eth0 carries it, by the mark of its packets", async (t) => {
  const ip = answering({
    "route get 10.99.0.1": '[{"dst":"10.99.0.1","dev":"wg0","flags":[],"cache":[]}]',
    "route get 198.18.77.1 mark 0xca6c": '[{"dst":"198.18.77.1","gateway":"192.0.2.1","dev":"eth0","mark":51820}]',
    "route get 198.18.77.1": '[{"dst":"198.18.77.1","dev":"wg0"}]',
  });
  const wg = String.raw`[ $3 = fwmark ] && printf 'wg0\t0xca6c\n' || printf 'wg0\tkey=\t198.18.77.1:51820\nwg0\tkey2=\t(none)\n'`;
  const facts = await (await machine(t, ip, wg)).read([HUB]);
  t.same([facts.ways, facts.detours], [["wg0"], []]);
  t.same(below(facts, "wg0"), [{ link: "eth0", protocol: "udp", peer: "198.18.77.1", port: 51_820 }]);
  t.same(below(facts, "eth0"), []);
  const noWg = await (await machine(t, ip)).read([HUB]);
  t.same(below(noWg, "wg0"), [UNTOLD], "without wg, the kernel names no far end");
});

test("[LCK-41] rules on marks, users and ports make their tables' links detours; without a way, every table counts", async (t) => {
  const defaults =
    '[{"dst":"default","dev":"eth0","table":"main"},{"dst":"default","dev":"wwan0","table":"1"},{"dst":"default","dev":"eth2","table":"2"},{"dst":"default","table":"3","nexthops":[{"dev":"eth3"},{"dev":"eth4"}]},{"dst":"default","dev":"eth9","table":"9"}]';
  const rules =
    '[{"priority":0,"src":"all","table":"local"},{"priority":1,"src":"all","fwmark":"0x100","fwmask":"0x3f00","table":"1"},{"priority":2,"src":"192.0.2.7","table":"2"},{"priority":3,"src":"all","uid_start":7,"uid_end":7,"table":"3"},{"priority":4,"not":null,"src":"all","fwmark":"0x1","table":"2"},{"priority":5,"src":"all","table":"main"}]';
  const answers = { "route show": defaults, "rule show": rules };
  const way = { ...answers, "route get": '[{"dst":"10.99.0.1","dev":"eth0","table":"main"}]' };
  t.same((await (await machine(t, answering(way))).read([HUB])).detours, ["eth3", "eth4", "wwan0"]);
  t.same((await (await machine(t, answering(answers))).read([HUB])).detours, ["eth0", "eth2", "eth3", "eth4", "wwan0"]);
});

test("[LCK-41] rules that are listed apart, rules of other forms, and the second lookup of a connection", async (t) => {
  const defaults =
    '[{"dst":"default","dev":"eth0","table":"main"},{"dst":"default","dev":"eth1","table":"1"},{"dst":"default","dev":"eth2","table":"2"},{"dst":"default","dev":"eth3","table":"3"}]';
  const rule = (selector: string, n: number): string => `{"priority":${n},"src":"all",${selector},"table":"${n}"}`;
  const rules = `[${rule('"dport_start":8000,"dport_end":9000', 1)},${rule('"sport":5', 2)}]`;
  const way = '[{"dst":"10.99.0.1","dev":"eth0","prefsrc":"192.0.2.7"}]';
  const answers = { "route get 10.99.0.1 from": '[{"dst":"10.99.0.1","dev":"eth9"}]', "route get": way, "route show": defaults };
  const read = async (four: string, six = "[]"): Promise<NetworkFacts> => {
    const [one, other] = [answering({ ...answers, "rule show": four }), answering({ ...answers, "rule show": six })];
    return (await machine(t, `if [ "$1" = -6 ]; then ${other}; else ${one}; fi`)).read([HUB]);
  };
  t.same((await read(rules)).detours, ["eth1", "eth2"], "by ports");
  t.same((await read("[]", `[${rule('"fwmark":"0x1"', 3)},${rule('"tos":"0x10"', 1)}]`)).detours, ["eth1", "eth3"], "IPv6's");
  t.same((await read("[]")).ways, ["eth0"]);
  const source = await read('[{"priority":1,"src":"192.0.2.7","table":"9"}]');
  t.same([source.ways, source.reached], [["eth0", "eth9"], [{ address: "10.99.0.1", link: "eth9" }]], "by its own address");
});

test("[LCK-43] tunnels that sysfs shows as any other link, and links that are made of tunnels", async (t) => {
  const policy = "src 0.0.0.0/0 dst 0.0.0.0/0 \n\tdir out priority 0 \n\ttmpl src 192.0.2.7 dst 198.18.78.1\n\t\tproto esp";
  const ip = answering({
    "link show type gretap":
      '[{},{"ifname":"eth7","linkinfo":{"info_kind":"gretap","info_data":{"remote":"198.18.77.1","local":"192.0.2.7"}}},{}]',
    "link show type xfrm": '[{"ifname":"ipsec0","linkinfo":{"info_kind":"xfrm","info_data":{}}}]',
    "route get 10.99.0.1": '[{"dst":"10.99.0.1","dev":"ipsec0"}]',
    "route get 198.18.77.1": '[{"dst":"198.18.77.1","dev":"eth0"}]',
    "route get 198.18.78.1": '[{"dst":"198.18.78.1","dev":"eth0"}]',
    "xfrm policy": policy,
  });
  const facts = await (
    await machine(t, ip, "exit 1", {
      "sys/class/net/eth7/type": "1\n",
      "sys/class/net/br0/type": "1\n",
      "sys/class/net/br0/lower_eth7/type": "1\n",
      "sys/class/net/br0.5/type": "1\n",
      "sys/class/net/br0.5/lower_br0/type": "1\n",
      "sys/class/net/ipsec0/type": "65534\n",
    })
  ).read([HUB]);
  const gre = [{ link: "eth0", protocol: "gre", peer: "198.18.77.1", port: undefined }];
  for (const name of ["eth7", "br0", "br0.5"]) t.same(below(facts, name), gre, name);
  t.same(
    below(facts, "ipsec0")?.map(({ link, protocol, peer, port }) => [link, protocol, peer, port]),
    [
      ["eth0", "esp", "198.18.78.1", undefined],
      ["eth0", "udp", "198.18.78.1", 500],
      ["eth0", "udp", "198.18.78.1", 4500],
    ],
  );
  t.same(below(facts, "eth0"), [], "the link below carries a tunnel, and is none");
});

const TUNNELS: Readonly<Record<string, readonly [string, string, readonly unknown[]]>> = {
  ipip: [
    "768",
    '"info_kind":"ipip","info_data":{"proto":"ipip","remote":"198.18.77.1","local":"192.0.2.7"}',
    [["ipip", "198.18.77.1", undefined]],
  ],
  "sit by its fallback device": [
    "776",
    '"info_kind":"sit","info_data":{"remote":"any","local":"any"}',
    [["ipv6", undefined, undefined]],
  ],
  gre: ["778", '"info_kind":"gre","info_data":{"remote":"198.18.77.1"}', [["gre", "198.18.77.1", undefined]]],
  "gre in UDP": [
    "778",
    '"info_kind":"gre","info_data":{"remote":"198.18.77.1","encap":{"type":"fou","sport":0,"dport":5555}}',
    [["udp", "198.18.77.1", 5555]],
  ],
  "IP over IPv6": [
    "769",
    '"info_kind":"ip6tnl","info_data":{"remote":"2001:db8::7"}',
    [
      ["ipip", "2001:db8::7", undefined],
      ["ipv6", "2001:db8::7", undefined],
    ],
  ],
};

for (const [what, [type, linkinfo, expected]] of Object.entries(TUNNELS))
  test(`[LCK-43] the far end of a tunnel that the kernel lists: ${what}`, async (t) => {
    const ip = answering({ "link show dev tun7": `[{"ifname":"tun7","linkinfo":{${linkinfo}}}]` });
    const facts = await (await machine(t, ip, "exit 1", { "sys/class/net/tun7/type": `${type}\n` })).read([HUB]);
    t.same(
      below(facts, "tun7")?.map(({ protocol, peer, port }) => [protocol, peer, port]),
      expected,
    );
  });

test("[LCK-43] a tun device has a far end that only its program knows, also a tap", async (t) => {
  const facts = await (
    await machine(t, answering({}), "exit 1", {
      "sys/class/net/tun0/type": "65534\n",
      "sys/class/net/tun0/tun_flags": "0x1001\n",
      "sys/class/net/wwan0/type": "65534\n",
      "sys/class/net/wwan0/uevent": "DEVTYPE=wwan\n",
    })
  ).read([HUB]);
  t.same(below(facts, "tun0"), [UNTOLD]);
  t.same(below(facts, "wwan0"), [], "a modem without Ethernet frames is no tunnel");
});

test("[LCK-43] IPsec to the hub belongs to the link by which it leaves; a policy for others does not count", async (t) => {
  const policies = [
    "src 0.0.0.0/0 dst 10.99.0.0/24 \n\tdir out priority 0 \n\ttmpl src 192.0.2.7 dst 198.18.77.1\n\t\tproto esp reqid 1 mode tunnel",
    "src 0.0.0.0/0 dst 10.50.0.0/16 \n\tdir out priority 0 \n\ttmpl src 192.0.2.7 dst 198.18.78.1\n\t\tproto esp reqid 2 mode tunnel",
  ].join("\n");
  const ip = answering({ "xfrm policy": policies, "route get 198.18.77.1": '[{"dst":"198.18.77.1","dev":"eth0"}]' });
  t.same(below(await (await machine(t, ip)).read([HUB]), "eth0"), [
    { link: "eth0", protocol: "esp", peer: "198.18.77.1", port: undefined },
    { link: "eth0", protocol: "udp", peer: "198.18.77.1", port: 500 },
    { link: "eth0", protocol: "udp", peer: "198.18.77.1", port: 4500 },
  ]);
});

test("[LCK-41] a hub that has a name is where its connection goes; without one it is anywhere, and behind any tunnel", async (t) => {
  const ip = answering({
    "route get 10.99.0.1": '[{"dst":"10.99.0.1","dev":"wg0"}]',
    "route get 203.0.113.1": '[{"dst":"203.0.113.1","dev":"eth0"}]',
  });
  const line = (remote: string, state: string): string => `  0: 0700000A:C000 ${remote} ${state} 0:0\n`;
  const connected = { "proc/self/net/tcp": line("0100630A:22B3", "01") };
  const facts = await (await machine(t, ip, "exit 1", connected)).read([NAMED]);
  t.same([facts.ways, facts.detours], [["wg0"], []]);
  const mapped = { "proc/self/net/tcp6": line("0000000000000000FFFF00000100630A:22B3", "01") };
  t.same((await (await machine(t, ip, "exit 1", mapped)).read([NAMED])).ways, ["wg0"], "by a socket for both families");
  const others = {
    "proc/self/net/tcp": `${line("0100630A:22B3", "06")}${line("0100007F:22B3", "01")}${line("0100630A:01BB", "01")}`,
  };
  const none = await (await machine(t, ip, "exit 1", others)).read([NAMED]);
  t.same([none.ways, none.detours], [["eth0"], ["wg0"]], "closed, on this machine, to another port");
});

test(
  "[LCK-41] an ip that hangs is killed, and the next reads do not wait for it again",
  { skip: isLongRun() ? false : "it waits for a timeout: SALLYPORT_TESTS=long" },
  async (t) => {
    const counted = join(await temporaryDirectory(t), "runs");
    const network = await machine(t, `echo run >> ${counted}; sleep 3600 & wait`);
    for (let n = 0; n < 3; n++) t.same((await network.read([HUB])).ways, []);
    t.equal(readFileSync(counted, "utf8"), "run\n");
  },
);
