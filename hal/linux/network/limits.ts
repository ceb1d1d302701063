/** An attribute of sysfs is one short value. */
export const ATTRIBUTE_BYTES_MAX = 256;
/** Entries read from one folder. Containers can add hundreds of interfaces. */
export const ENTRIES_MAX = 4096;
/** Interfaces in the result; those with a route come first. */
export const LINKS_MAX = 64;
/**
 * The routing table of a gateway has a few dozen lines of at most 150 bytes. What lies beyond this
 * is not read.
 */
export const ROUTES_BYTES_MAX = 262_144;
export const ROUTES_MAX = 1024;
export const RESOLVER_BYTES_MAX = 16_384;
/** Additions to a resolver's settings. */
export const RESOLVER_FILES_MAX = 16;
/** glibc asks three servers. */
export const NAME_SERVERS_MAX = 8;
/**
 * What iproute2 may take and write. It lists default routes, rules, tunnels and single lookups; a
 * machine with more than this counts as not known.
 */
export const KERNEL_TIMEOUT_MS = 5000;
export const KERNEL_BYTES_MAX = 131_072;
export const KERNEL_ANSWERS_MAX = 512;
/** Reads without another question after one that hung: a hang is not waited for each time. */
export const KERNEL_PAUSE_READS = 12;
export const TARGETS_MAX = 8;
/** A VLAN over a bond over a bridge, say; the kernel allows 8. */
export const STACK_MAX = 4;
/** Tunnels that are looked at, and far ends of one. */
export const TUNNELS_MAX = 8;
export const TUNNEL_PEERS_MAX = 8;
/** The table of connections; those beyond it are not seen. */
export const CONNECTIONS_BYTES_MAX = 262_144;
