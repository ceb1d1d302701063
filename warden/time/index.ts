// Hub time and the clock's state. [ID-10]
export { type ClockBounds, clockBounds, clockState } from "./bounds.ts";
export { openTimeKeeper, type TimeKeeper } from "./keeper.ts";
export { BUILD_DATE_MS_MIN } from "./limits.ts";
