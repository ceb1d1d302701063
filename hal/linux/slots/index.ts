export { createFileBootChoice } from "./choice.ts";
export { createFileSlots, type FileSlotsOptions } from "./files.ts";
export { createPartitionSlots, type PartitionSlotsOptions } from "./partitions.ts";
export { createSystemdBootChoice, type SystemdBootOptions } from "./systemd-boot.ts";
