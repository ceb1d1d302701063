export { makeKey, type OrderKey, readKey } from "./keys.ts";
export { pendingTrial } from "./policy-trial.ts";
