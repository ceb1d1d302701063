/** An attribute of sysfs is one short value. */
export const ATTRIBUTE_BYTES_MAX = 512;
/**
 * `descriptors`: 18 bytes and every configuration. Real devices have some hundreds of bytes; a
 * single configuration may have 65,535.
 */
export const DESCRIPTORS_BYTES_MAX = 65_536;
/**
 * Entries of /sys/bus/usb/devices: devices, their interfaces, controllers. A bus has at most 127
 * devices.
 */
export const ENTRIES_MAX = 8192;
/** Entries of one hub's folder. */
export const HUB_ENTRIES_MAX = 1024;
/** A serial number: a USB string has at most 126 UTF-16 units. */
export const SERIAL_CHARACTERS_MAX = 126;
/** Interfaces of one device. No policy lists a device with more. */
export const INTERFACES_MAX = 64;
/**
 * How long a call may wait for the kernel. A device that is plugged in is set up in less than a
 * second; a device that does not answer holds the lock for minutes. Authorizing a device configures
 * it and waits for its drivers. A transfer may take 5 s (USB_CTRL_SET_TIMEOUT in
 * include/linux/usb.h, which mentions slow devices that need it). This bound covers a transfer that
 * is lost and repeated, so that a slow but honest device is let in.
 */
export const KERNEL_MS_MAX = 12_000;
/**
 * Calls that may still run after that time; with so many, no new call is made. Node has four
 * threads for files.
 */
export const STUCK_CALLS_MAX = 2;
/** The same for calls that shut a device out while one of those hangs. */
export const STUCK_SHUTS_MAX = 1;
/**
 * A line of an event. The kernel's buffer for a whole event has 2048 bytes (UEVENT_BUFFER_SIZE).
 */
export const EVENT_LINE_BYTES_MAX = 4096;
/** Properties of one event: the kernel allows 64 (UEVENT_NUM_ENVP), and writes a dozen. */
export const EVENT_PROPERTIES_MAX = 64;
