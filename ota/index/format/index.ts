// Chunk indexes and chunk names, for whoever makes a release, serves one or installs it. Pure.
export * from "./caibx.ts";
export * from "./chunk.ts";
export * from "./limits.ts";
