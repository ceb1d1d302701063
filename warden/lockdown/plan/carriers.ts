// Links below tunnels: what carries the way to the hub matters as much as the way itself. [LCK-43]
import type { Use } from "../../../hal/ports.ts";
import type { LinkFacts, MachineFacts } from "../machine-facts.ts";

const RANK: Readonly<Record<Use, number>> = { unused: 0, unknown: 1, used: 2 };

/** A tunnel's packets leave by another link. IPsec without an interface is told of its own link. */
export function isTunnel({ name, below }: LinkFacts): boolean {
  return below.some(({ link }) => link !== name);
}

/**
 * @returns the machine with each link that carries a tunnel to the hub counted as that tunnel is,
 *   also a tunnel within a tunnel: when its lease ends or its USB device is refused, so is the way.
 */
export function withCarriers(facts: MachineFacts): MachineFacts {
  const uses = new Map(facts.links.map(({ name, uplink }) => [name, uplink]));
  // one round for each tunnel that another one may lie in
  for (let round = 0; round < facts.links.length; round += 1) {
    const raised = facts.links.flatMap(({ name, below }) => below.map(({ link }) => [link, uses.get(name) ?? "unused"] as const));
    const higher = raised.filter(([link = "", use]) => uses.has(link) && RANK[use] > RANK[uses.get(link) ?? "unused"]);
    if (higher.length === 0) break;
    for (const [link = "", use] of higher) if (RANK[use] > RANK[uses.get(link) ?? "unused"]) uses.set(link, use);
  }
  return { ...facts, links: facts.links.map((link) => ({ ...link, uplink: uses.get(link.name) ?? link.uplink })) };
}
