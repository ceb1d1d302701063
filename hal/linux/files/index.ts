export { linuxAppendFiles } from "./append.ts";
export { linuxFiles } from "./durable.ts";
