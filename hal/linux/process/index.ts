export { CHILD_PATH, findProgram } from "./find.ts";
export { type ExitResult, type RunOptions, runProgram, runToExit } from "./run.ts";
