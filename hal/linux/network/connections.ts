// The far ends of connections that are open now: where a hub that has a name is. [LCK-41]
import { join } from "node:path";
import { readKernelFile } from "../files/index.ts";
import { CONNECTIONS_BYTES_MAX, TARGETS_MAX } from "./limits.ts";

/** include/net/tcp_states.h */
const TCP_ESTABLISHED = "01";
const LOOPBACK = /^(?:127\.|0:0:0:0:0:0:0:1$)/u;

/**
 * @returns addresses, each once.
 * @throws Fault `file.read-failed`.
 */
export async function connectedTo(root: string, ports: readonly number[]): Promise<readonly string[]> {
  const open = (await socketsOf(root, "tcp")).filter(({ state }) => state === TCP_ESTABLISHED);
  const far = open.map(({ remote }) => remote).filter(({ port }) => ports.includes(port));
  const addresses = new Set(far.map(({ hex }) => addressOf(hex)).filter((address) => !LOOPBACK.test(address)));
  return [...addresses].slice(0, TARGETS_MAX);
}

/**
 * @returns whether a program on this machine takes UDP on `port`.
 * @throws Fault `file.read-failed`.
 */
export async function listensOn(root: string, port: number): Promise<boolean> {
  return (await socketsOf(root, "udp")).some(({ local }) => local.port === port);
}

interface End {
  readonly hex: string;
  readonly port: number;
}

/**
 * net/ipv4/tcp_ipv4.c, tcp4_seq_show, and the same for UDP and IPv6: number, local and remote
 * address, state. An address is 32-bit words in the machine's own byte order (little endian, see
 * routes.ts), then the port.
 */
async function socketsOf(root: string, protocol: "tcp" | "udp"): Promise<readonly { local: End; remote: End; state: string }[]> {
  const texts = [protocol, `${protocol}6`].map((name) =>
    readKernelFile(join(root, "proc/self/net", name), CONNECTIONS_BYTES_MAX),
  );
  const lines = (await Promise.all(texts)).flatMap((text = "") => text.split("\n"));
  return lines.map((line) => {
    const [, local = "", remote = "", state = ""] = line.trim().split(/\s+/u);
    return { local: endOf(local), remote: endOf(remote), state };
  });
}

function endOf(text: string): End {
  const [, hex = "", port = ""] = /^((?:[0-9A-F]{8}){1,4}):([0-9A-F]{4})$/u.exec(text) ?? [];
  return { hex, port: Number.parseInt(port, 16) };
}

function addressOf(hex: string): string {
  const bytes = (hex.match(/.{8}/gu) ?? []).flatMap((word) => [...Buffer.from(word, "hex").reverse()]);
  const mapped = bytes.length === 16 && bytes.slice(0, 12).join() === "0,0,0,0,0,0,0,0,0,0,255,255";
  if (bytes.length === 4 || mapped) return bytes.slice(-4).join(".");
  return Array.from({ length: 8 }, (_, i) => (((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0)).toString(16)).join(":");
}
