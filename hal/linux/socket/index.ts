export { listenUnix } from "./listen.ts";
