// Hub time for the warden's clock.
export { createTimeSync, type TimeSync } from "./sync.ts";
export { createTimeWatch, type TimeWatch } from "./watch.ts";
