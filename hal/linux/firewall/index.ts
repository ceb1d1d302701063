// The packet filter of a Linux machine.
export { type FirewallOptions, linuxFirewall } from "./firewall.ts";
