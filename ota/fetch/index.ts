export { type ChunksToFetch, fetchChunks } from "./chunks.ts";
export { courierName } from "./courier.ts";
export type { Repository } from "./repository.ts";
export { type Window, windowsOf } from "./windows.ts";
