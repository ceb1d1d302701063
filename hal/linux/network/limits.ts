/** An attribute of sysfs is one short value. */
export const ATTRIBUTE_BYTES_MAX = 64;
/** Entries of one folder that are looked at: containers can add hundreds of interfaces. */
export const ENTRIES_MAX = 4096;
/** Interfaces that are listed; those with a route first. */
export const LINKS_MAX = 64;
/** A routing table of a gateway has a few dozen lines; what lies behind this is not looked at. */
export const ROUTES_BYTES_MAX = 1_048_576;
export const ROUTES_MAX = 1024;
export const RESOLVER_BYTES_MAX = 16_384;
/** glibc asks three. */
export const NAME_SERVERS_MAX = 8;
