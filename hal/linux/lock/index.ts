export { lockState } from "./lock.ts";
