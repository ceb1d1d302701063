/** An attribute of sysfs is one short value. */
export const ATTRIBUTE_BYTES_MAX = 64;
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
/** glibc asks three servers. */
export const NAME_SERVERS_MAX = 8;
