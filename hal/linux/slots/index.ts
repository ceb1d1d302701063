export { fileBootChoice } from "./choice.ts";
export { fileSlots, type FileSlotsOptions } from "./files.ts";
export { partitionSlots, type PartitionSlotsOptions } from "./partitions.ts";
export { systemdBootChoice, type SystemdBootOptions } from "./systemd-boot.ts";
