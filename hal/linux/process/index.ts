export { CHILD_PATH, findProgram } from "./find.ts";
export { type ExitResult, killGroup, type RunOptions, runProgram, runToExit } from "./run.ts";
