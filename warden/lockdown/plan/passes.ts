// The packet filter's verdict, computed from the meaning of a plan's network rules, independently
// of their text.
import { contains, type NetworkRule, parsePrefix, type Plan } from "../format/index.ts";

/** A packet that asks to pass. */
export interface Packet {
  readonly direction: NetworkRule["direction"];
  readonly link: string;
  readonly protocol: NetworkRule["protocol"];
  /** Undefined for an address that is not known yet. Only a rule for anybody lets it pass. */
  readonly address: string | undefined;
  /** Undefined for a protocol without ports. */
  readonly port: number | undefined;
  readonly sourcePort: number;
}

/** @returns the verdict on the first packet of a connection. */
export function passes(plan: Plan, packet: Packet): boolean {
  const { direction, protocol, port, sourcePort } = packet;
  const link = plan.links.find(({ name }) => name === packet.link);
  const address = packet.address === undefined ? undefined : parsePrefix(packet.address);
  if (link === undefined || (address?.family === 6 && !link.ipv6)) return false;
  return plan.networkRules.some((rule) => {
    if (rule.direction !== direction || rule.protocol !== protocol) return false;
    if (rule.link !== null && rule.link !== packet.link) return false;
    if (rule.near !== undefined) return false; // the packet does not tell the near side
    if (rule.sourcePort !== null && rule.sourcePort !== sourcePort) return false;
    if (port !== undefined && !rule.ports.some(([from, to]) => from <= port && port <= to)) return false;
    return rule.peers === null || (packet.address !== undefined && isPeer(plan, rule, packet.address));
  });
}

/** @returns the rules that let such packets out on some link; to `address`, where it is given. */
export function leavesTo(plan: Plan, protocol: NetworkRule["protocol"], port: number, address?: string): readonly NetworkRule[] {
  return plan.networkRules.filter(
    (rule) =>
      rule.direction === "out" &&
      rule.protocol === protocol &&
      rule.ports.some(([from, to]) => from <= port && port <= to) &&
      (address === undefined || rule.peers === null || isPeer(plan, rule, address)),
  );
}

function isPeer({ management }: Plan, { peers }: NetworkRule, text: string): boolean {
  const address = parsePrefix(text);
  const list = peers === "management" ? management : (peers ?? []);
  return address !== undefined && list.some((one) => isWithin(one, address));
}

function isWithin(text: string, address: NonNullable<ReturnType<typeof parsePrefix>>): boolean {
  const prefix = parsePrefix(text);
  return prefix !== undefined && contains(prefix, address);
}
