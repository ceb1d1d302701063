// The reference hub for programs that embed it, such as the demo and the tests.
export { initHub } from "./authority/index.ts";
export { type Hub, type HubOptions, startHub } from "./hub.ts";
