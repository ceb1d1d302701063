// The plan: the meaning of a policy on one machine, as data that can be printed, compared, hashed
// and signed. [LCK-4]
import * as v from "valibot";
import { createHash } from "node:crypto";
import { canonicalJson } from "../../../hal/format/json.ts";
import { linkNameSchema, portNumberSchema, prefixSchema, usbPortSchema, usbRuleSchema } from "./policy.ts";

/**
 * Why a packet may pass. What ends in `unknown` is open because something about the machine could
 * not be told. [LCK-40]
 */
const WHY = [
  "hub",
  "name-service",
  "name-service-unknown",
  "dhcp",
  "dhcp-unknown",
  "tunnel",
  "tunnel-unknown",
  "policy",
] as const;

/** One kind of packet that may pass the packet filter. */
export const networkRuleSchema = v.strictObject({
  direction: v.picklist(["in", "out"]),
  /** Null stands for any link of the plan. */
  link: v.nullable(linkNameSchema),
  /** `ipip` is IPv4 in IP, `ipv6` IPv6 in IP. */
  protocol: v.picklist(["tcp", "udp", "esp", "gre", "ipip", "ipv6"]),
  /**
   * First and last port of each range, ascending, with gaps between the ranges. Empty for a
   * protocol without ports.
   */
  ports: v.array(v.strictTuple([portNumberSchema, portNumberSchema])),
  /** [LCK-64] The sender's port; null for any. `ports` are the receiver's. */
  sourcePort: v.nullable(portNumberSchema),
  /** The far side; null for anybody. */
  peers: v.nullable(v.union([v.literal("management"), v.array(prefixSchema)])),
  /** [LCK-53] The near side, where only some of the device's IPv6 addresses count. */
  near: v.optional(v.array(prefixSchema)),
  why: v.picklist(WHY),
  /**
   * [LCK-62] Of a door that may be asked by multicast or broadcast: what goes from its port to who
   * asked passes for a few seconds.
   */
  answers: v.optional(v.literal(true)),
});
export type NetworkRule = v.InferOutput<typeof networkRuleSchema>;

export const planSchema = v.strictObject({
  v: v.literal(1),
  /** `shut` also where there is no policy at all. */
  mode: v.picklist(["enforce", "shut"]),
  links: v.array(v.strictObject({ name: linkNameSchema, dhcp4: v.boolean(), dhcp6: v.boolean(), ipv6: v.boolean() })),
  management: v.array(prefixSchema),
  echo: v.picklist(["none", "management", "any"]),
  networkRules: v.array(networkRuleSchema),
  /** The table as it is loaded. It follows from links, management, echo and network rules. */
  firewall: v.string(),
  usb: v.strictObject({
    allow: v.array(usbRuleSchema),
    /** Includes the other halves of their sockets. */
    disable: v.array(usbPortSchema),
    /** The verdicts on the devices that are plugged in now. */
    devices: v.array(v.strictObject({ port: v.string(), authorized: v.boolean(), why: v.string() })),
  }),
  serial: v.strictObject({ console: v.nullable(v.string()), lines: v.array(v.string()) }),
  confirm: v.nullable(
    v.strictObject({
      /** Key ids, as in orders. */
      keys: v.array(v.string()),
      withinS: v.number(),
    }),
  ),
});
export type Plan = v.InferOutput<typeof planSchema>;

/**
 * [LCK-4] The hash that an operator signs: `sha256:` and the hash over the plan in canonical JSON
 * (RFC 8785).
 */
export function planHash(plan: Plan): string {
  return `sha256:${createHash("sha256").update(canonicalJson(plan)).digest("hex")}`;
}
