export { type ChunkVerifier, createChunkVerifier, verifyChunk } from "./verify.ts";
