/** Where the gateway finds this machine's forwarded ports; it has 10.0.2.15 itself, by DHCP. */
export const HUB_ADDRESS = "10.0.2.100";
