export { type ChunksToFetch, fetchChunks } from "./chunks.ts";
export { handoverName } from "./handover-name.ts";
export type { Repository } from "./repository.ts";
export { type FetchRange, windowsOf } from "./ranges.ts";
