// Hub time and the clock's state. [ID-10]
export { BUILD_DATE_MS_MIN, type ClockBounds, clockBounds, clockState } from "./bounds.ts";
export { openTrustedClock, type TrustedClock } from "./trusted-clock.ts";
