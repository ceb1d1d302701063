// Bounds of a policy.

/** Size of the document. */
export const POLICY_BYTES_MAX = 32_768;
/** Size of a plan as JSON. With an answer's envelope it fits one line of the protocol. [OPS-1] */
export const PLAN_BYTES_MAX = 61_440;
export const LINKS_MAX = 16;
/** Entries of `inbound` and of `outbound`, each. */
export const NETWORK_RULES_MAX = 64;
/** Ports and ranges of one entry. */
export const RULE_PORTS_MAX = 32;
/** Management addresses, and addresses in one entry's `to`. */
export const PREFIXES_MAX = 32;
export const USB_RULES_MAX = 64;
export const USB_INTERFACES_MAX = 32;
export const USB_PORTS_MAX = 64;
export const SERIAL_LINES_MAX = 16;
export const CONFIRM_KEYS_MAX = 8;
/** The time in which a policy must be confirmed; otherwise it is reverted. [LCK-10] */
export const CONFIRM_WITHIN_S_MIN = 30;
export const CONFIRM_WITHIN_S_MAX = 600;
export const CONFIRM_WITHIN_S_DEFAULT = 120;
