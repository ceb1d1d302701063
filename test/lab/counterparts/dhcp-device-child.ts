// A program on a device of dhcp-network.ts: it reads the network as the warden does, and watches
// which addresses go away. It answers each line of its input with one.
import { spawn, spawnSync } from "node:child_process";
import { createInterface } from "node:readline";
import * as v from "valibot";
import { linuxNetwork } from "../../../hal/linux/network/index.ts";

const listedSchema = v.array(
  v.object({ addr_info: v.array(v.object({ local: v.string(), scope: v.string(), prefixlen: v.number(), family: v.string() })) }),
);
const lost: string[] = [];
const monitor = spawn("ip", ["monitor", "address"], { stdio: ["ignore", "pipe", "inherit"] });
createInterface({ input: monitor.stdout }).on("line", (line) => {
  const address = /^Deleted .* inet6? (\S+) .*scope global/u.exec(line)?.[1];
  if (address !== undefined) lost.push(address);
});

/** DHCPv6's have 128 bits; a router's advertisement makes others. */
function addresses(): readonly string[] {
  const listed = v.parse(
    listedSchema,
    JSON.parse(spawnSync("ip", ["-j", "address", "show", "dev", "eth0"], { encoding: "utf8" }).stdout),
  );
  const all = listed.flatMap(({ addr_info }) => addr_info).filter(({ scope }) => scope === "global");
  return all.filter(({ family, prefixlen }) => family === "inet" || prefixlen === 128).map(({ local }) => local);
}

const network = linuxNetwork({ root: "/" });
createInterface({ input: process.stdin }).on("line", (line) => {
  void network.read().then(({ links }) => {
    const link = links.find(({ name }) => name === "eth0");
    const { dhcp4, dhcp6, dhcp4Trace, dhcp6Trace } = link ?? {};
    console.log(`said ${line} ${JSON.stringify({ dhcp4, dhcp6, dhcp4Trace, dhcp6Trace, addresses: addresses(), lost })}`);
  });
});
