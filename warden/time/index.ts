// The trusted clock: hub time, and how far the wall clock can be trusted. [ID-10]
export { BUILD_DATE_MS_MIN, type ClockBounds, clockBounds, clockState } from "./bounds.ts";
export { openTrustedClock, type TrustedClock } from "./trusted-clock.ts";
