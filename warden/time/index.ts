// Hub time and the clock's state. [ID-10]
export { clockBounds, clockState, isPlausible, type ClockBounds } from "./bounds.ts";
export { BUILD_DATE_MS_MIN } from "./limits.ts";
export { openTimeKeeper, type TimeKeeper } from "./keeper.ts";
export { nonces } from "./nonces.ts";
export { verifiedTime } from "./verify.ts";
