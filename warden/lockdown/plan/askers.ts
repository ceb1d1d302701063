// The answers of a service that is asked by multicast or broadcast, such as SSDP. Its answer goes
// from its own port to who asked, and the kernel sees no connection in it: the question went to
// another address. So the door notes who asked, for a short time, and lets out what goes from the
// port that was asked to the address and port that asked. [LCK-62] [LCK-63]
import type { NetworkRule } from "../format/index.ts";

/**
 * How long an asker is remembered, in seconds. UPnP Device Architecture 1.1, section 1.3.3: a
 * device spreads its answers over 5 s at most. DNS service discovery and WS-Discovery are faster.
 */
const ASKER_S = 10;
/** More askers than this get no answer. Each takes some 100 bytes of the kernel's memory. */
const ASKERS_MAX = 1024;

export type Family = 4 | 6;

/** One set for each address family, where a door has answers. */
export function askerSets(families: readonly Family[]): readonly string[][] {
  return families.map((family) => [
    `set askers${family} {`,
    `\ttype ipv${family}_addr . inet_service . inet_service`,
    `\tsize ${ASKERS_MAX}`,
    "\tflags dynamic,timeout",
    `\ttimeout ${ASKER_S}s`,
    "}",
  ]);
}

/**
 * The rule before that of a door: it decides nothing. A question that was sent to this machine's
 * own address is not noted: its answer belongs to a connection. [LCK-6]
 * @param from what the packet has besides its ports: its link and its sender.
 */
export function noteLine(family: Family, from: readonly string[], ports: readonly string[]): string {
  const asker = `${ipOf(family)} saddr . udp sport . udp dport`;
  return [...from, "meta pkttype { broadcast, multicast }", ...ports, `update @askers${family} { ${asker} }`].join(" ");
}

/** The rules that let the answers out, by the links whose doors are asked. */
export function answerLines(rules: readonly NetworkRule[], familiesOf: (link: string) => readonly Family[]): readonly string[] {
  const links = new Set(rules.flatMap(({ answers, link }) => (answers === true && link !== null ? [link] : [])));
  return [...links].flatMap((link) =>
    familiesOf(link).map((family) => `oifname "${link}" ${ipOf(family)} daddr . udp dport . udp sport @askers${family} accept`),
  );
}

function ipOf(family: Family): "ip" | "ip6" {
  return family === 4 ? "ip" : "ip6";
}
