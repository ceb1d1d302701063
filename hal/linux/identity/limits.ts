/**
 * SMBIOS strings have at most 255 characters in practice, device-tree strings fewer. sysfs gives at
 * most a page, so a longer text was cut already.
 */
export const ATTRIBUTE_BYTES_MAX = 4095;

/** Only the start of the EEPROM is read: an id has at most 64 characters. */
export const COMMISSIONED_BYTES_MAX = 256;

/**
 * A gateway has a handful of interfaces. Containers can add hundreds of virtual ones, which are
 * skipped one by one.
 */
export const INTERFACES_MAX = 1024;
