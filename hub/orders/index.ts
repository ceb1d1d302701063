// Giving orders: with a key of an operator's, over what the device asked to have signed. [OPS-7] [OPS-9]
export { makeKey, type OrderKey, readKey } from "./keys.ts";
export { ORDER_HOLD_MS, signedOrder } from "./sign.ts";
export { pendingTrial } from "./policy-trial.ts";
