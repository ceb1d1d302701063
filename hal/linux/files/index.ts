export { linuxAppendFiles } from "./append.ts";
export { openDirectory, syncDirectory } from "./directory.ts";
export { linuxFiles } from "./durable.ts";
export { errnoOf, readFault, writeFault } from "./faults.ts";
export { readKernelFile } from "./kernel.ts";
export { isName, isTemporary, pathOf, temporaryPathOf } from "./names.ts";
export { type FileOps, linuxOps, SAFE } from "./ops.ts";
export { checkTrustedFile } from "./trust.ts";
export { readConfigFile } from "./config.ts";
