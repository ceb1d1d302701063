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
/**
 * How long a call may wait for the kernel. What is plugged in is set up in less than a second; a device that does not answer holds the lock for minutes. Letting a
 * device in configures it and waits for its drivers: a transfer has 5 s (USB_CTRL_SET_TIMEOUT of include/linux/usb.h, which knows of slow devices that need it), so
 * one that is lost and done again is within this, and a slow but honest device is let in.
 */
export const KERNEL_MS_MAX = 12_000;
/** Calls that may go on after that; with so many no other is made. Node has four threads for files. */
export const STUCK_CALLS_MAX = 2;
/** And that shut a device out where one of those hangs, or in spite of them. */
export const STUCK_SHUTS_MAX = 1;
