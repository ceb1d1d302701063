export { type ChunksToFetch, fetchChunks } from "./chunks.ts";
export { handoverName, type Repository } from "./repository.ts";
export { type FetchRange, windowsOf } from "./ranges.ts";
