export { inThread, serveThread } from "./serve.ts";
export { startThreads, type ThreadsOptions } from "./threads.ts";
