// A network with real DHCP servers for both families and a router, and devices on it that each run
// a real DHCP client. A device is a network namespace with its own /etc, /run and /var/lib, so a
// client changes nothing of this machine.
import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as v from "valibot";
import { runProgram } from "../../../hal/linux/process/index.ts";
import type { TestContext } from "../runner/context.ts";
import { DHCP_DIRECTORY, NETWORKD } from "../runner/needs.ts";
import { HANG_MS, type RunningProgram, startProgram } from "../runner/process.ts";
import { temporaryDirectory } from "../runner/temporary.ts";

const CHILD = fileURLToPath(new URL("dhcp-device-child.ts", import.meta.url));
const PATH = `${DHCP_DIRECTORY}/bin:/usr/sbin:/usr/bin:/sbin:/bin`;
const DHCPCD = `-B -c /bin/true eth0`;

/** How each client is started on `eth0`, in a shell. */
export const CLIENTS = {
  "udhcpc of busybox": "busybox udhcpc -i eth0 -f -p /run/udhcpc.eth0.pid -s /etc/udhcpc/default.script &",
  "udhcpc without a trace": "busybox udhcpc -i eth0 -f -s /etc/udhcpc/default.script &",
  // as ifupdown starts it
  dhclient:
    "for family in '-4 -pf /run/dhclient.eth0.pid' '-6 -pf /run/dhclient6.eth0.pid'; do dhclient -d $family -lf /var/lib/dhcp/${family##*/}.leases -sf $SCRIPTS/dhclient-script eth0 & done",
  "dhcpcd 9": `dhcpcd ${DHCPCD} &`,
  "dhcpcd 10": `dhcpcd10 ${DHCPCD} &`,
  networkd: `
    mount -o remount,bind,ro /sys
    printf '[Match]\\nName=eth0\\n[Network]\\nDHCP=yes\\n' > /etc/systemd/network/10-eth0.network
    mkdir -p /run/systemd/netif/leases /run/systemd/netif/links /run/systemd/netif/lldp
    chown -R systemd-network:systemd-network /run/systemd/netif
    ${NETWORKD} &`,
} as const;

/** What the child says of its device. */
const saidSchema = v.object({
  dhcp4: v.string(),
  dhcp6: v.string(),
  dhcp4Trace: v.optional(v.string()),
  dhcp6Trace: v.optional(v.string()),
  /** Of global scope, without those that a router's advertisement made. */
  addresses: v.array(v.string()),
  /** Addresses that went away, in order. */
  lost: v.array(v.string()),
});

export interface Lease {
  readonly validS: number;
  readonly preferredS: number;
  readonly renewS: number;
  readonly rebindS: number;
}

export interface DhcpDevice {
  ask(): Promise<v.InferOutput<typeof saidSchema>>;
  readonly program: RunningProgram;
}

const bounds = { timeoutMs: HANG_MS, outputBytesMax: 1 << 20 };

export class DhcpNetwork {
  readonly #t: TestContext;
  readonly #directory: string;
  readonly #name = `dhcp-${randomBytes(3).toString("hex")}`;
  #devices = 0;

  private constructor(t: TestContext, directory: string) {
    this.#t = t;
    this.#directory = directory;
  }

  /** @param relayed the servers are behind a relay agent, which is the router, on another link. */
  static async open(t: TestContext, lease: Lease, relayed = false): Promise<DhcpNetwork> {
    const network = new DhcpNetwork(t, await temporaryDirectory(t));
    await network.#namespace(network.#name);
    await network.#run(
      network.#name,
      `ip link add br0 type bridge; ip link set br0 up; ip link set lo up
       ip address add 198.18.20.1/24 dev br0; ip -6 address add fe80::1/64 dev br0 nodad; ip address add fd5a:20::1/64 dev br0 nodad`,
    );
    await network.#serve(lease, relayed ? await network.#relay() : network.#name, relayed ? "eth0" : "br0");
    return network;
  }

  async #namespace(name: string): Promise<void> {
    await runProgram("ip", ["netns", "add", name], bounds);
    this.#t.teardown(async () => void (await runProgram("ip", ["netns", "delete", name], bounds).catch(() => undefined)));
  }

  async #run(namespace: string, script: string): Promise<void> {
    await runProgram("ip", ["netns", "exec", namespace, "sh", "-e", "-c", script], bounds);
  }

  async #startIn(namespace: string, program: string, args: readonly string[], ready?: RegExp): Promise<void> {
    const words = ["netns", "exec", namespace, `${DHCP_DIRECTORY}/bin/${program}`, ...args];
    const running = startProgram({ name: program, command: "ip", args: words, endsWithUs: true });
    this.#t.teardown(async () => void (await running.stop("SIGKILL")));
    if (ready !== undefined) await running.line(ready);
  }

  /** @returns the namespace of the link behind the relay agent. */
  async #relay(): Promise<string> {
    const behind = `${this.#name}-behind`;
    await this.#namespace(behind);
    await this.#run(
      this.#name,
      `ip link add far0 type veth peer name eth0 netns ${behind}; ip link set far0 up
       ip address add 198.18.21.2/24 dev far0; ip address add fd5a:21::2/64 dev far0 nodad
       echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding`,
    );
    await this.#run(
      behind,
      `ip link set lo up; ip link set eth0 up; ip address add 198.18.21.1/24 dev eth0; ip address add fd5a:21::1/64 dev eth0 nodad
       ip route add default via 198.18.21.2; ip route add default via fd5a:21::2
       until ip -6 address show dev eth0 scope link -tentative | grep -q inet6; do sleep 0.1; done`,
    );
    await this.#startIn(this.#name, "dhcrelay", [
      "-4",
      "-d",
      "-pf",
      join(this.#directory, "r4.pid"),
      "-id",
      "br0",
      "-iu",
      "far0",
      "198.18.21.1",
    ]);
    await this.#startIn(this.#name, "dhcrelay", [
      "-6",
      "-d",
      "-pf",
      join(this.#directory, "r6.pid"),
      "-l",
      "br0",
      "-u",
      "fd5a:21::1%far0",
    ]);
    return behind;
  }

  /** A server off the link lets its clients ask it by unicast (RFC 8415 section 21.12). */
  async #serve({ validS, preferredS, renewS, rebindS }: Lease, namespace: string, link: string): Promise<void> {
    const relayed = namespace !== this.#name;
    const times = `default-lease-time ${validS}; min-lease-time 2; max-lease-time ${validS};
      option dhcp-renewal-time ${renewS}; option dhcp-rebinding-time ${rebindS};`;
    const files = {
      "d4.conf": `authoritative; ${times} ${relayed ? "subnet 198.18.21.0 netmask 255.255.255.0 { }" : ""}
        subnet 198.18.20.0 netmask 255.255.255.0 { range 198.18.20.100 198.18.20.199; option routers 198.18.20.1; }`,
      "d6.conf": `${times} preferred-lifetime ${preferredS}; ${relayed ? "option dhcp6.unicast fd5a:21::1; subnet6 fd5a:21::/64 { }" : ""}
        subnet6 fd5a:20::/64 { range6 fd5a:20::100 fd5a:20::1ff; }`,
      "ra.conf": `interface br0 { AdvSendAdvert on; AdvManagedFlag on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4;
        prefix fd5a:20::/64 { AdvAutonomous on; }; };`,
      "d4.leases": "",
      "d6.leases": "",
    };
    const at = (name: string): string => join(this.#directory, name);
    for (const [name, text] of Object.entries(files)) writeFileSync(at(name), text);
    for (const family of ["4", "6"]) {
      const paths = ["-cf", at(`d${family}.conf`), "-lf", at(`d${family}.leases`), "-pf", at(`d${family}.pid`)];
      await this.#startIn(namespace, "dhcpd", [`-${family}`, "-f", "-d", ...paths, link], /Server starting service/u);
    }
    await this.#startIn(this.#name, "radvd", ["-n", "-C", at("ra.conf"), "-p", at("ra.pid"), "-m", "stderr"]);
  }

  /** @param table the device's packet filter, loaded before its client starts. */
  async plug(client: keyof typeof CLIENTS, table: string): Promise<DhcpDevice> {
    this.#devices += 1;
    const port = `p${this.#devices}`;
    const name = `${this.#name}-${port}`;
    const own = join(this.#directory, port);
    mkdirSync(own);
    writeFileSync(`${own}.nft`, table);
    await this.#namespace(name);
    await this.#run(this.#name, `ip link add ${port} type veth peer name eth0 netns ${name}; ip link set ${port} master br0 up`);
    const script = `set -e
      mount --make-rprivate /; mount -t proc proc /proc; mount -t tmpfs tmpfs ${own}
      mkdir -p ${own}/etc/udhcpc ${own}/etc/systemd/network ${own}/etc/dhcp
      for file in passwd group hosts nsswitch.conf services protocols; do [ -e /etc/$file ] && cp /etc/$file ${own}/etc/; done
      cp ${DHCP_DIRECTORY}/root/etc/udhcpc/default.script ${own}/etc/udhcpc/; touch ${own}/etc/resolv.conf
      mount --bind ${own}/etc /etc; mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /var/lib; mkdir -p /var/lib/dhcp /var/lib/dhcpcd
      ip link set lo up; nft -f ${own}.nft; ip link set eth0 up
      # a client of DHCPv6 needs its link-local address, and ends without
      until ip -6 address show dev eth0 scope link -tentative | grep -q inet6; do sleep 0.1; done
      head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \\n' > /etc/machine-id
      export SCRIPTS=${DHCP_DIRECTORY}/bin
      ${CLIENTS[client]}
      exec ${process.execPath} ${CHILD}`;
    const args = ["--mount", "--pid", "--fork", "--kill-child", "ip", "netns", "exec", name, "sh", "-c", script];
    const program = startProgram({ name: client, command: "unshare", args, env: { PATH }, input: true, endsWithUs: true });
    this.#t.teardown(async () => void (await program.stop("SIGKILL")));
    let asked = 0;
    const ask = async (): Promise<v.InferOutput<typeof saidSchema>> => {
      asked += 1;
      program.write(`${asked}\n`);
      const line = await program.line(new RegExp(`^said ${asked} `, "u"));
      return v.parse(saidSchema, JSON.parse(line.replace(/^said \d+ /u, "")));
    };
    return { ask, program };
  }
}
