// What the programs of a device have in common as programs: how they are started, told to stop, and end.
export { journal } from "./journal.ts";
export { reasonOf } from "./stop.ts";
export { runMain } from "./program.ts";
export { requiredConfigFile } from "./required.ts";
