// The reference hub, for programs that embed it: the demo, the tests.
export { initHub, type InitOptions } from "./authority/index.ts";
export { type Hub, type HubEvents, type HubOptions, startHub } from "./hub.ts";
