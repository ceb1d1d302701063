// Hub time and the clock's state. [ID-10]
export { type ClockBounds, clockBounds, clockState } from "./bounds.ts";
export { openTrustedClock, type TrustedClock } from "./trusted-clock.ts";
export { BUILD_DATE_MS_MIN } from "./limits.ts";
