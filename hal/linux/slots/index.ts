export { fileBootChoice } from "./choice.ts";
export { fileSlots, type FileSlotsOptions } from "./files.ts";
