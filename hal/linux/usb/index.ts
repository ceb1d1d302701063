// The USB tree of a Linux machine.
export { parseDescriptors } from "./descriptors.ts";
export { followEvents, linuxUsbEvents } from "./events.ts";
export { DEVICE, hubOf, requireName } from "./names.ts";
export { linuxUsbTree, type UsbTreeOptions } from "./tree.ts";
