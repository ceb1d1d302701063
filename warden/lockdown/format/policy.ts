// The lockdown policy: what a device may use. What it does not name is shut. Its version and line
// are those of the TUF target that carries it. [LCK-1]
import * as v from "valibot";
import { Fault } from "../../../hal/fault.ts";
import { parseJson } from "../../../hal/format/json.ts";
import { check } from "../../../hal/format/schema.ts";
import { orderKeySchema } from "../../order-key/format.ts";
import { parsePrefix } from "../../../hal/format/address.ts";
import {
  CONFIRM_KEYS_MAX,
  CONFIRM_WITHIN_S_DEFAULT,
  CONFIRM_WITHIN_S_MAX,
  CONFIRM_WITHIN_S_MIN,
  RULE_PORTS_MAX,
  NETWORK_RULES_MAX,
  LINKS_MAX,
  POLICY_BYTES_MAX,
  PREFIXES_MAX,
  SERIAL_LINES_MAX,
  USB_INTERFACES_MAX,
  USB_PORTS_MAX,
  USB_RULES_MAX,
} from "./limits.ts";

/**
 * A network interface's name: IFNAMSIZ is 16 with the NUL. `*` is not allowed, because nft would
 * take it for a pattern.
 */
export const linkNameSchema = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,14}$/u, "expected an interface name such as eth0"),
  v.check((name) => name !== "lo", '"lo" is always open'),
);

/** Addresses, never names: a rule that depends on DNS cannot be relied on. */
export const prefixSchema = v.pipe(
  v.string(),
  v.maxLength(43),
  v.check(
    (text) => parsePrefix(text) !== undefined,
    "expected an address or prefix in canonical form, such as 192.0.2.0/24 or 2001:db8::1",
  ),
);
const prefixesSchema = v.pipe(v.array(prefixSchema), v.maxLength(PREFIXES_MAX));

export const portNumberSchema = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535));

/** `8443` or `"9000-9010"`. */
const portsSchema = v.pipe(
  v.array(
    v.union(
      [portNumberSchema, v.pipe(v.string(), v.regex(/^[1-9]\d{0,4}-[1-9]\d{0,4}$/u), v.check(isRange))],
      'expected a port from 1 to 65535, or a range such as "9000-9010"',
    ),
  ),
  v.minLength(1),
  v.maxLength(RULE_PORTS_MAX),
);

const protocolSchema = v.picklist(["tcp", "udp"]);

/**
 * `<bus>-<port>.<port>...`, as the kernel names the device that is plugged in there. USB allows
 * seven tiers at most (USB 2.0 section 4.1.1).
 */
export const usbPortSchema = v.pipe(
  v.string(),
  v.regex(/^[1-9]\d{0,2}-[1-9]\d{0,2}(\.[1-9]\d{0,2}){0,5}$/u, 'expected a USB port such as "1-2" or "1-1.3"'),
);
const usbIdSchema = v.pipe(v.string(), v.regex(/^[0-9a-f]{4}$/u, "expected four hex digits, lower case"));

export const usbRuleSchema = v.strictObject({
  vendor: usbIdSchema,
  product: usbIdSchema,
  /**
   * Only this serial number; when omitted, any or none. Two devices that claim the same one are
   * both refused.
   */
  serial: v.optional(
    v.pipe(
      v.string(),
      v.minLength(1),
      v.maxLength(126),
      v.check((text) => text.isWellFormed()),
    ),
  ),
  /** Only at this port; when omitted, at any port that is not disabled. */
  port: v.optional(usbPortSchema),
  /**
   * Exactly these, over all configurations and alternate settings: a stick that is also a keyboard
   * is another device.
   */
  interfaces: v.pipe(
    v.array(v.pipe(v.string(), v.regex(/^[0-9a-f]{2}(:[0-9a-f]{2}){2}$/u, "expected class:subclass:protocol, such as 08:06:50"))),
    v.minLength(1),
    v.maxLength(USB_INTERFACES_MAX),
  ),
  /** The hub is reached through this device: it stays authorized in mode "shut". */
  uplink: v.optional(v.boolean(), false),
});
export type UsbRule = v.InferOutput<typeof usbRuleSchema>;

const ttySchema = v.pipe(v.string(), v.regex(/^tty[A-Za-z0-9]{1,12}$/u, "expected a line's name such as ttyS0"));

/** [LCK-1] A list that is omitted is empty, and what a list does not name is shut. */
export const policySchema = v.strictObject({
  v: v.literal(1),
  /** For people. */
  name: v.optional(v.pipe(v.string(), v.regex(/^[\u0020-\u007e]{1,64}$/u, "expected up to 64 printable ASCII characters"))),
  /**
   * `enforce`: this document holds. `shut`: only its links, uplink devices, serial lines and the
   * way to the hub hold.
   */
  mode: v.picklist(["enforce", "shut"]),
  /** Network interfaces in use. No packet goes in or out by any other. */
  links: v.optional(
    v.pipe(
      v.array(
        v.strictObject({
          name: linkNameSchema,
          /** The interface gets its address by DHCP. */
          dhcp4: v.optional(v.boolean(), false),
          dhcp6: v.optional(v.boolean(), false),
          /**
           * IPv6 with neighbour discovery and router advertisements. Without it no IPv6 packet
           * passes.
           */
          ipv6: v.optional(v.boolean(), false),
        }),
      ),
      v.maxLength(LINKS_MAX),
      v.check((links) => new Set(links.map(({ name }) => name)).size === links.length, "expected every interface once"),
    ),
    [],
  ),
  network: v.optional(
    v.strictObject({
      /** The addresses that `from: "management"` stands for. */
      management: v.optional(prefixesSchema, []),
      inbound: v.optional(
        v.pipe(
          v.array(
            v.strictObject({
              link: linkNameSchema,
              protocol: protocolSchema,
              ports: portsSchema,
              /** [LCK-64] The port that the other side sends from; when omitted, any. */
              sourcePort: v.optional(portNumberSchema),
              from: v.picklist(["any", "management"]),
            }),
          ),
          v.maxLength(NETWORK_RULES_MAX),
        ),
        [],
      ),
      /**
       * Destinations besides the hub, which is always reachable: name service, time service, the
       * devices of the plant.
       */
      outbound: v.optional(
        v.pipe(
          v.array(
            v.strictObject({
              protocol: protocolSchema,
              ports: portsSchema,
              /** [LCK-64] The port that this machine sends from; when omitted, any. */
              sourcePort: v.optional(portNumberSchema),
              to: v.union(
                [v.literal("any"), v.pipe(prefixesSchema, v.minLength(1))],
                'expected "any" or a list of addresses and prefixes',
              ),
              /** When omitted, by any link of the policy. */
              link: v.optional(linkNameSchema),
            }),
          ),
          v.maxLength(NETWORK_RULES_MAX),
        ),
        [],
      ),
      /** Who may ping. */
      echo: v.optional(v.picklist(["none", "management", "any"]), "none"),
    }),
    {},
  ),
  usb: v.optional(
    v.strictObject({
      allow: v.optional(v.pipe(v.array(usbRuleSchema), v.maxLength(USB_RULES_MAX)), []),
      /** Ports that detect nothing at all, together with the other half of their socket. */
      disable: v.optional(v.pipe(v.array(usbPortSchema), v.maxLength(USB_PORTS_MAX)), []),
    }),
    {},
  ),
  serial: v.optional(
    v.strictObject({
      /** The line of the maintenance console. */
      console: v.optional(ttySchema),
      /** Further lines in use. */
      lines: v.optional(v.pipe(v.array(ttySchema), v.maxLength(SERIAL_LINES_MAX)), []),
    }),
    {},
  ),
  /** Keys that may confirm, as orders are signed. [OPS-7] */
  confirmKeys: v.pipe(v.array(orderKeySchema), v.minLength(1), v.maxLength(CONFIRM_KEYS_MAX)),
  /** In seconds. */
  confirmWithinS: v.optional(
    v.pipe(v.number(), v.integer(), v.minValue(CONFIRM_WITHIN_S_MIN), v.maxValue(CONFIRM_WITHIN_S_MAX)),
    CONFIRM_WITHIN_S_DEFAULT,
  ),
});
export type Policy = v.InferOutput<typeof policySchema>;

/**
 * [LCK-1] The policy in `bytes`, whose signature was checked before. Nothing in it is guessed: an
 * unknown member, mode or version refuses the whole policy.
 * @throws Fault `lockdown.invalid` naming every fault; the policy in force stays in force.
 */
export function parsePolicy(bytes: Uint8Array): Policy {
  try {
    return check(
      policySchema,
      parseJson(bytes, POLICY_BYTES_MAX, "lockdown policy", { duplicates: "refused" }),
      "lockdown policy",
      "lockdown.invalid",
    );
  } catch (error) {
    if (error instanceof Fault && error.code !== "lockdown.invalid")
      throw new Fault("lockdown.invalid", error.message, { cause: error });
    throw error;
  }
}

function isRange(text: string): boolean {
  const [from = 0, to = 0] = text.split("-").map(Number);
  return from < to && to <= 65_535;
}
