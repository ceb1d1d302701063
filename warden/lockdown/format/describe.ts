// Plans as text for people: what stays open and why, and what changes from one plan to the next.
// Warden and signer use the same text. [LCK-4] [LCK-20]
import { printableJson } from "../../../hal/format/text.ts";
import type { NetworkRule, Plan } from "./plan.ts";

export interface Difference {
  readonly opens: readonly string[];
  readonly closes: readonly string[];
}

/** One line for everything that stays open; printable. */
export function staysOpen(plan: Plan): readonly string[] {
  return [
    ...plan.links.map(
      ({ name, dhcp4, dhcp6, ipv6 }) => `link ${name}${dhcp4 ? ", DHCP" : ""}${dhcp6 ? ", DHCPv6" : ""}${ipv6 ? ", IPv6" : ""}`,
    ),
    ...plan.networkRules.map((rule) => ruleText(rule, plan)),
    ...(plan.echo === "none" ? [] : [`in: ping from ${plan.echo === "any" ? "anybody" : plan.management.join(" ")}`]),
    ...plan.usb.allow.map(
      ({ vendor, product, serial, port, interfaces, uplink }) =>
        `usb ${vendor}:${product}${serial === undefined ? "" : ` serial ${serialText(serial)}`}${port === undefined ? "" : ` at ${port}`}, interfaces ${interfaces.join(" ")}${uplink ? ", uplink" : ""}`,
    ),
    ...(plan.serial.console === null ? [] : [`serial ${plan.serial.console}, console`]),
    ...plan.serial.lines.map((line) => `serial ${line}`),
  ];
}

/** @param before undefined when there was no plan yet, so nothing is known to be open. */
export function differenceOf(before: Plan | undefined, after: Plan): Difference {
  const [had, has] = [before === undefined ? [] : staysOpen(before), staysOpen(after)];
  const [disabled, disables] = [before?.usb.disable ?? [], after.usb.disable];
  return {
    opens: [
      ...has.filter((line) => !had.includes(line)),
      ...disabled.filter((port) => !disables.includes(port)).map((port) => `usb port ${port}`),
    ],
    closes: [
      ...had.filter((line) => !has.includes(line)),
      ...disables.filter((port) => !disabled.includes(port)).map((port) => `usb port ${port}`),
    ],
  };
}

/**
 * A serial number that differs reads different, and none looks like the lines around it: what does
 * not print, and every space, is escaped.
 */
function serialText(serial: string): string {
  return printableJson(serial).replaceAll(" ", String.raw`\u0020`);
}

function ruleText({ direction, link, protocol, ports, sourcePort, peers, near, why, answers }: NetworkRule, plan: Plan): string {
  const range = ports.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`));
  const far = peers === null ? "anybody" : (peers === "management" ? plan.management : peers).join(" ");
  const [from, to] =
    sourcePort === null ? ["", ""] : direction === "in" ? [` port ${sourcePort}`, ""] : ["", ` from port ${sourcePort}`];
  const answered = answers === true ? ", answered to who asks by multicast or broadcast" : "";
  const at = near === undefined ? "" : ` ${direction === "in" ? "to" : "from"} ${near.join(" ")}`;
  return `${direction}: ${[protocol, ...range].join(" ")}${to} ${direction === "in" ? "from" : "to"} ${far}${from}${at}${link === null ? "" : ` on ${link}`}${answered} (${why})`;
}
