// Hub time, fetched for the warden.
export { createTimeSync, type TimeSync } from "./sync.ts";
