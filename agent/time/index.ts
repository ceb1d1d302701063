// Hub time, fetched for the warden.
export { createTimeSync, type TimeSync } from "./sync.ts";
export { createTimeWatch, type TimeWatch } from "./watch.ts";
