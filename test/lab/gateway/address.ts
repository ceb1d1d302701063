/**
 * The address at which the gateway finds this machine's forwarded ports. It gets 10.0.2.15 itself,
 * by DHCP.
 */
export const HUB_ADDRESS = "10.0.2.100";

/** The network card's slot on the first PCI bus, from which udev makes its name. */
export const UPLINK_SLOT = 8;
export const UPLINK = `enp0s${UPLINK_SLOT}`;
