// Whether a link's address comes by DHCP: what each common client and network manager leaves
// behind, and what the kernel itself shows. [LCK-50] [LCK-51]
import { readClients } from "./clients.ts";
import { type DhcpUse, type Finding, judge, type Sought } from "./finding.ts";
import { askAddresses, kernel, readLists } from "./kernel.ts";
import { connman, ifupdown, networkd, networkManager } from "./managers.ts";

const READERS: readonly ((root: string, link: Sought) => Promise<readonly Finding[]>)[] = [
  networkd,
  networkManager,
  ifupdown,
  connman,
];

/**
 * @param ip iproute2; undefined where the kernel cannot be asked.
 * @throws Fault `file.read-failed`.
 */
export async function withDhcp<L extends Sought>(
  root: string,
  ip: string | undefined,
  links: readonly L[],
): Promise<readonly (L & DhcpUse)[]> {
  const clients = await readClients(root);
  const lists = await readLists(root, ip === undefined ? [] : await askAddresses(ip));
  const found: (L & DhcpUse)[] = [];
  for (const link of links) {
    const findings = [...clients(link)];
    for (const reader of READERS) findings.push(...(await reader(root, link)));
    found.push({ ...link, ...judge([...findings, ...(await kernel(root, link, lists))]) });
  }
  return found;
}
