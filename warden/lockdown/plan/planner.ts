// The planner: from a policy and a machine to a plan. Pure, and independent of the order in which
// things are listed. [LCK-2] [LCK-4]
import type { Plan, Policy } from "../format/index.ts";
import { orderKey, orderKeyId } from "../../order-key/format.ts";
import type { MachineFacts } from "../machine-facts.ts";
import { withCarriers } from "./carriers.ts";
import { dhcpRules, hubRules, longAnswerRules, mergeRules, policyRules, shutRules, uniquePrefixes } from "./network-rules.ts";
import { renderTable } from "./table.ts";
import { judgeDevices, sortedRules, withPeers } from "./usb.ts";

/**
 * @param policy undefined when no policy can be trusted. Then everything is shut except the way to
 *   the hub, by every interface of the machine, so that a machine that is shut can always be mended
 *   from there. [LCK-30]
 */
export function planLockdown(policy: Policy | undefined, facts: MachineFacts): Plan {
  const shut = policy === undefined || policy.mode === "shut";
  const links = sortedLinks(policy, facts);
  const management = shut ? [] : uniquePrefixes(policy.network.management);
  const echo = shut ? "none" : policy.network.echo;
  const further = shut ? shutRules(withCarriers(facts), links) : policyRules(policy);
  const networkRules = [
    ...mergeRules([...hubRules(facts), ...dhcpRules(links), ...further, ...(shut ? [] : longAnswerRules(facts, further))]),
  ];
  const usb = {
    allow: sortedRules((policy?.usb.allow ?? []).filter(({ uplink }) => uplink || !shut)),
    disable: withPeers(policy?.usb.disable ?? [], facts.usb.ports),
  };
  return {
    v: 1,
    mode: shut ? "shut" : "enforce",
    links,
    management,
    echo,
    networkRules,
    firewall: renderTable({ links, management, echo, networkRules }),
    usb: { ...usb, devices: judgeDevices(usb, facts.usb.devices) },
    serial: {
      console: policy === undefined ? (facts.console ?? null) : (policy.serial.console ?? null),
      lines: [...new Set(policy?.serial.lines)].sort(),
    },
    confirm: policy === undefined ? null : { keys: keyIds(policy), withinS: policy.confirmWithinS },
  };
}

function sortedLinks(policy: Policy | undefined, facts: MachineFacts): Plan["links"] {
  const links = policy?.links ?? facts.links.map(({ name }) => ({ name, dhcp4: true, dhcp6: true, ipv6: true }));
  return [...links].sort((a, b) => (a.name < b.name ? -1 : 1));
}

function keyIds(policy: Policy): string[] {
  const keys = policy.confirmKeys.flatMap((text) => orderKey(text) ?? []);
  return [...new Set(keys.map((key) => orderKeyId(key)))].sort();
}
