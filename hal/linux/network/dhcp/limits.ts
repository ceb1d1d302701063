/** A lease's or a manager's file about one link, or one file of settings. */
export const SETTINGS_BYTES_MAX = 16_384;
/** Profiles of NetworkManager, drop-ins of one network, files of ifupdown: the first by name. */
export const SETTINGS_FILES_MAX = 64;
/** IPv6 addresses of one link that are looked at. */
export const ADDRESSES_MAX = 1024;
/** The kernel's lists of sockets and IPv6 addresses; what lies beyond is not read. */
export const SOCKETS_BYTES_MAX = 262_144;
