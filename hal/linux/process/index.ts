export { CHILD_PATH, findProgram } from "./find.ts";
export { type Ended, type RunOptions, runProgram, runToExit } from "./run.ts";
