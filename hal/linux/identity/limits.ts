/** SMBIOS strings have at most 255 characters in practice, device-tree strings less. */
export const ATTRIBUTE_BYTES_MAX = 256;

/** Of the EEPROM only the start is read: an id has at most 64 characters. */
export const COMMISSIONED_BYTES_MAX = 256;

/** A gateway has a handful of interfaces; containers can add hundreds of virtual ones, which are skipped one by one. */
export const INTERFACES_MAX = 1024;
