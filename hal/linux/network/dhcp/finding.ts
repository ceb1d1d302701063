// What one trace says about DHCP on a link, and what all of them say together. [LCK-50]
import type { NetworkLink } from "../../../ports.ts";

/** A link as the readers of this folder look for it. */
export interface Sought {
  readonly name: string;
  /** The kernel's number of the link, in decimal; "" when it has none. */
  readonly index: string;
}

export interface Finding {
  readonly family: 4 | 6;
  /** Only a setting can say `unused`: a client that leaves no trace may run all the same. */
  readonly use: "used" | "unused";
  /** Where it is written, for people. */
  readonly trace: string;
}

export type DhcpUse = Pick<NetworkLink, "dhcp4" | "dhcp6" | "dhcp4Trace" | "dhcp6Trace">;

/** [LCK-50] One trace of use outweighs every setting that says otherwise. */
export function judge(findings: readonly Finding[]): DhcpUse {
  const of = (family: 4 | 6): Finding | undefined => {
    const own = findings.filter((one) => one.family === family);
    return own.find(({ use }) => use === "used") ?? own[0];
  };
  const [v4, v6] = [of(4), of(6)];
  return { dhcp4: v4?.use ?? "unknown", dhcp6: v6?.use ?? "unknown", dhcp4Trace: v4?.trace, dhcp6Trace: v6?.trace };
}

export function used(family: 4 | 6, trace: string): Finding {
  return { family, use: "used", trace };
}

export function unused(family: 4 | 6, trace: string): Finding {
  return { family, use: "unused", trace };
}

/** A name or number of a link, for a pattern: of its characters only the dot means something. */
export function literal(text: string): string {
  return text.replaceAll(".", String.raw`\.`);
}
