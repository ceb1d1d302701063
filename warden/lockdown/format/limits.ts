// Bounds of what a policy can say.

/** Of the document. */
export const POLICY_BYTES_MAX = 32_768;
/** Of a plan as JSON: with an answer's envelope it fits one line of the protocol. [OPS-1] */
export const PLAN_BYTES_MAX = 61_440;
export const LINKS_MAX = 16;
/** Of `inbound` and of `outbound`, each. */
export const NETWORK_RULES_MAX = 64;
/** Ports and ranges of one entry. */
export const RULE_PORTS_MAX = 32;
/** Of the management addresses, and of one entry's `to`. */
export const PREFIXES_MAX = 32;
export const USB_RULES_MAX = 64;
export const USB_INTERFACES_MAX = 32;
export const USB_PORTS_MAX = 64;
export const SERIAL_LINES_MAX = 16;
export const CONFIRM_KEYS_MAX = 8;
/** The time in which a policy must be confirmed, or it is taken back. [LCK-10] */
export const CONFIRM_WITHIN_S_MIN = 30;
export const CONFIRM_WITHIN_S_MAX = 600;
export const CONFIRM_WITHIN_S_DEFAULT = 120;
