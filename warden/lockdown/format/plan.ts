// The plan: what a policy means on one machine, as data that can be printed, compared, hashed and signed for. [LCK-4]
import * as v from "valibot";
import { createHash } from "node:crypto";
import { canonicalJson } from "../../../hal/format/json.ts";
import { linkNameSchema, prefixSchema, usbPortSchema, usbRuleSchema } from "./policy.ts";

const portNumberSchema = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535));

/** One thing that may pass the packet filter. */
export const networkRuleSchema = v.strictObject({
  direction: v.picklist(["in", "out"]),
  /** null: any link of the plan. */
  link: v.nullable(linkNameSchema),
  protocol: v.picklist(["tcp", "udp"]),
  /** First and last of each range, ascending, apart from each other. */
  ports: v.array(v.strictTuple([portNumberSchema, portNumberSchema])),
  /** The sender's port; null: any. `ports` are the receiver's. */
  sourcePort: v.nullable(portNumberSchema),
  /** The far side; null: anybody. */
  peers: v.nullable(v.union([v.literal("management"), v.array(prefixSchema)])),
  why: v.picklist(["hub", "name-service", "dhcp", "policy"]),
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
  /** The table as it is loaded: follows from links, management, echo and doors. */
  firewall: v.string(),
  usb: v.strictObject({
    allow: v.array(usbRuleSchema),
    /** With the other halves of their sockets. */
    disable: v.array(usbPortSchema),
    /** What that means for the devices that are plugged in now. */
    devices: v.array(v.strictObject({ port: v.string(), authorized: v.boolean(), why: v.string() })),
  }),
  serial: v.strictObject({ console: v.nullable(v.string()), lines: v.array(v.string()) }),
  confirm: v.nullable(
    v.strictObject({
      /** Key ids as in orders. */
      keys: v.array(v.string()),
      withinS: v.number(),
    }),
  ),
});
export type Plan = v.InferOutput<typeof planSchema>;

/** [LCK-4] What an operator signs for: `sha256:` and the hash over the plan in canonical JSON (RFC 8785). */
export function planHash(plan: Plan): string {
  return `sha256:${createHash("sha256").update(canonicalJson(plan)).digest("hex")}`;
}
