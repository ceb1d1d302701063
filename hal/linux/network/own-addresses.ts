// The addresses of this machine: a resolver that is asked at one of them is on the machine, as one
// on the loopback is. [LCK-42]
import { SocketAddress } from "node:net";
import { readNetList } from "./routes.ts";

/** @throws Fault `file.read-failed`. */
export async function ownAddresses(root: string): Promise<ReadonlySet<string>> {
  // net/ipv4/fib_trie.c, fib_trie_seq_show: an address, and below it what is there
  const four = (await readNetList(root, "fib_trie")).map((line) => line.trim());
  const local = four.flatMap((line, n) => (line === "/32 host LOCAL" ? (four[n - 1] ?? "").split(" ").slice(-1) : []));
  // net/ipv6/addrconf.c, if6_seq_show
  const six = (await readNetList(root, "if_inet6")).flatMap((line) => /^[0-9a-f]{32}(?= )/u.exec(line) ?? []);
  return new Set([...local, ...six.map((hex) => canonical6(hex))]);
}

function canonical6(hex: string): string {
  return new SocketAddress({ address: (hex.match(/.{4}/gu) ?? []).join(":"), family: "ipv6" }).address;
}
