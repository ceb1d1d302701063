/** An attribute of sysfs is one short value. */
export const ATTRIBUTE_BYTES_MAX = 512;
/** `descriptors`: 18 bytes and every configuration. Real devices have some hundreds of bytes; a single configuration may have 65,535. */
export const DESCRIPTORS_BYTES_MAX = 65_536;
/** Entries of /sys/bus/usb/devices: devices, their interfaces, controllers. A bus has at most 127 devices. */
export const ENTRIES_MAX = 8192;
/** Entries of one hub's folder. */
export const HUB_ENTRIES_MAX = 1024;
/** Of a serial number: a USB string has at most 126 UTF-16 units. */
export const SERIAL_CHARACTERS_MAX = 126;
/** Per device; more are no device that anyone lists in a policy. */
export const INTERFACES_MAX = 64;
/** How long the kernel may be busy with a hub. What is plugged in is set up in less than a second; a device that does not answer holds it for minutes. */
export const KERNEL_MS_MAX = 5000;
/** Calls that may wait for the kernel at a time, beyond that; Node has four threads for files. */
export const STUCK_CALLS_MAX = 2;
