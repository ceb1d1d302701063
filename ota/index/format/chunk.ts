// A chunk: a part of an image under the name of its content. [OTA-31]
import { hash } from "node:crypto";

/** SHA-512/256 (FIPS 180-4 section 5.3.6.2) over the uncompressed bytes, 64 hex digits. */
export type ChunkId = string;

const ID_PATTERN = /^[0-9a-f]{64}$/;

/** [OTA-31] */
export function chunkId(bytes: Uint8Array): ChunkId {
  return hash("sha512-256", bytes, "hex");
}

export function isChunkId(text: string): boolean {
  return ID_PATTERN.test(text);
}

/** The name of the chunk's file: one path component, as it is in a hand-over directory. */
export function chunkFileName(id: ChunkId): string {
  return `${id}.cacnk`;
}

export function isChunkFileName(name: string): boolean {
  return name.endsWith(".cacnk") && isChunkId(name.slice(0, -".cacnk".length));
}

/**
 * The chunk's path below a store's directory: casync's layout, which spreads chunks over 65,536
 * folders.
 */
export function chunkPath(id: ChunkId): string {
  return `${id.slice(0, 4)}/${chunkFileName(id)}`;
}
