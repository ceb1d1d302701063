// Chunk indexes and chunk names, for making, serving and installing releases. Pure.
export * from "./caibx.ts";
export * from "./chunk.ts";
export * from "./limits.ts";
