// The packet filter of a Linux machine.
export { type FirewallOptions, linuxFirewall } from "./firewall.ts";
export { linuxDeadManSwitch } from "./dead-man.ts";
