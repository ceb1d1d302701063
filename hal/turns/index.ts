// One thing at a time, in the order asked for.
export { inTurns } from "./turns.ts";
