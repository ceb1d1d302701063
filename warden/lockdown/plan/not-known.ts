// What could not be told about the machine, and what a plan makes of it: it is open, or it is cut.
// [LCK-40]
import type { Use } from "../../../hal/ports.ts";
import type { NetworkRule, Plan } from "../format/index.ts";
import type { LinkFacts, MachineFacts } from "../machine-facts.ts";
import { isTunnel, withCarriers } from "./carriers.ts";
import { leavesTo } from "./passes.ts";

export interface NotKnown {
  /** A sentence without its full stop. */
  readonly text: string;
  /** The plan cuts it: what the author of a policy can do. Undefined: the plan keeps it open. */
  readonly remedy: string | undefined;
}

/**
 * What a policy names itself is not listed: its author knows.
 * @returns one entry for each thing, in a fixed order.
 */
export function notKnown(plan: Plan, machine: MachineFacts): readonly NotKnown[] {
  const facts = withCarriers(machine);
  const uplinks = facts.links.filter(({ uplink }) => uplink !== "unused");
  const named = (link: LinkFacts): boolean => plan.links.some(({ name }) => name === link.name);
  return [
    ...unknownUplinks(plan, facts),
    ...unknownNameService(plan, facts),
    ...uplinks.filter((link) => named(link) && !isTunnel(link)).flatMap((link) => unknownDhcp(plan, link)),
    ...uplinks.filter(named).flatMap((link) => unknownTunnels(plan, link)),
  ];
}

/**
 * @returns sentences for the status of a machine on which `plan` is in force. A machine that
 *   reaches nothing now has no uplink that could be told, and needs no alarm for it.
 */
export function notKnownNow(plan: Plan, facts: MachineFacts): readonly string[] {
  return notKnown(plan, leadsNowhere(facts) ? { ...facts, mayLead: [] } : facts).map(
    ({ text, remedy }) => `${text}: ${remedy === undefined ? "the way to it is open" : `it may be cut; ${remedy}`}`,
  );
}

/** As far as it is known: neither the kernel nor a file names a link. */
function leadsNowhere({ leads, links }: MachineFacts): boolean {
  return leads.length === 0 && links.every(({ uplink }) => uplink !== "used");
}

/** [LCK-41] */
function unknownUplinks(plan: Plan, facts: MachineFacts): readonly NotKnown[] {
  const { mayLead, leads } = facts;
  const cut = mayLead.filter((one) => !plan.links.some(({ name }) => name === one));
  const untold = leadsNowhere(facts)
    ? "no route in the main table leads there"
    : "another routing table leads out, and by which link was not told";
  const why = (name: string): string => {
    if (leads.length === 0) return untold;
    return leads.includes(name)
      ? "connections to its ports leave there and elsewhere"
      : "by a rule of the routing, packets may leave there";
  };
  return cut.map((name) => ({
    text: `whether "${name}" leads to the hub could not be told: ${why(name)}`,
    remedy: `name it in "links", or propose the policy again when the hub is reached by another link`,
  }));
}

/** [LCK-42] */
function unknownNameService(plan: Plan, { hub, nameService, nameServers, dnsOverTls }: MachineFacts): readonly NotKnown[] {
  if (nameService !== "unknown" || hub.every(({ address }) => address !== undefined)) return [];
  const text =
    "the servers that look up the hub's name could not be told: a resolver on this machine asks them, or none is named";
  if (opens(plan, "name-service-unknown")) return [{ text, remedy: undefined }];
  const asks = leavesTo(plan, "udp", 53).filter(({ why }) => why === "policy");
  const fits = nameServers.length === 0 || nameServers.some((server) => leavesTo(plan, "udp", 53, server).length > 0);
  const tls = dnsOverTls === "unused" ? [] : leavesTo(plan, "tcp", 853);
  if ((asks.length > 0 && fits) || tls.length > 0) return [];
  const hint = nameServers.length === 0 ? "" : `, it may be ${nameServers.join(" or ")}`;
  return [{ text, remedy: `name UDP port 53 to the server in "outbound"${hint}` }];
}

/** [LCK-44] */
function unknownDhcp(plan: Plan, { name, dhcp4, dhcp6 }: LinkFacts): readonly NotKnown[] {
  const link = plan.links.find((one) => one.name === name);
  return ([4, 6] as const).flatMap((family): readonly NotKnown[] => {
    const [use, planned, port]: [Use, boolean | undefined, number] =
      family === 4 ? [dhcp4, link?.dhcp4, 67] : [dhcp6, link?.dhcp6, 547];
    // where the policy lets no IPv6 pass, there is none that it would cut later
    if (use !== "unknown" || planned === true || (family === 6 && link?.ipv6 !== true)) return [];
    const isOpen = leavesTo(plan, "udp", port).some((rule) => rule.link === name && rule.why === "dhcp-unknown");
    const text = `whether "${name}" has its address by DHCP${family === 6 ? "v6" : ""} could not be told`;
    return [{ text, remedy: isOpen ? undefined : `set "dhcp${family}" of the link` }];
  });
}

/** [LCK-43] */
function unknownTunnels(plan: Plan, { name, below }: LinkFacts): readonly NotKnown[] {
  if (below.every(({ peer }) => peer !== undefined)) return [];
  const text = `the far end of the tunnel "${name}", which may lead to the hub, could not be told`;
  if (opens(plan, "tunnel-unknown")) return [{ text, remedy: undefined }];
  const further = plan.networkRules.some(
    ({ direction, why, ports }) => direction === "out" && why === "policy" && ports.some(isFurther),
  );
  const lower = plan.links.some((link) => link.name !== name);
  return further && lower ? [] : [{ text, remedy: `name its port in "outbound", and in "links" the link by which it leaves` }];
}

/** More than name and time service. */
function isFurther([from, to]: NetworkRule["ports"][number]): boolean {
  return from !== to || ![53, 123, 853].includes(from);
}

function opens({ networkRules }: Plan, why: NetworkRule["why"]): boolean {
  return networkRules.some((rule) => rule.why === why);
}
