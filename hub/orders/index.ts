export { makeKey, type OrderKey, readKey } from "./keys.ts";
export { pendingTrial } from "./policy-trial.ts";
export { ORDER_HOLD_MS, signedOrder } from "./sign.ts";
