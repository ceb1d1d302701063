// The drivers of a Linux machine, one folder each. Only main.ts files and tests import this.
export { linuxAppendFiles, linuxFiles } from "./files/index.ts";
export { runProgram } from "./process/index.ts";
