export { type ChunksToFetch, fetchChunks } from "./chunks.ts";
export { fetchFile, isKeptName } from "./file.ts";
export { FetchPace } from "./pace.ts";
export { PartialFile } from "./partial.ts";
export { handoverName, type Repository } from "./repository.ts";
export { type FetchRange, windowsOf } from "./ranges.ts";
