export { linuxAppendFiles } from "./append.ts";
export { openDirectory } from "./directory.ts";
export { linuxFiles } from "./durable.ts";
export { errnoOf, readFault, writeFault } from "./faults.ts";
export { readKernelFile } from "./kernel.ts";
export { linuxOps } from "./ops.ts";
export { checkTrustedFile } from "./trust.ts";
export { readConfigFile } from "./config.ts";
