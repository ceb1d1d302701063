// A repository of releases: how its files are read, and the name under which the agent hands one
// over to the warden. [OTA-40]
import { createHash } from "node:crypto";
import type { PartialFile } from "./partial.ts";

/**
 * Static files by path: a hub, a CDN, an object store, a USB stick. Where a file comes from proves
 * nothing about it.
 */
export interface Repository {
  /**
   * Makes one attempt.
   * @param path relative, as `repositoryPathSchema`.
   * @param partial for a file that is verified by its hash: gets what arrives, and goes on behind
   *   what it has where the server can do that. [OTA-76]
   * @returns undefined when the repository has no such file.
   * @throws Fault `fetch.*`, `tls.*`, `update.aborted`.
   */
  get(path: string, bytesMax: number, signal?: AbortSignal, partial?: PartialFile): Promise<Uint8Array | undefined>;
}

/**
 * [OTA-40] Pure: `f-` and the SHA-256 of the path in hex. The name depends on the path alone, never
 * leaves the directory, and is never the name of a chunk.
 * @param path in the repository, relative to its root, as the warden asks for it.
 */
export function handoverName(path: string): string {
  return `f-${createHash("sha256").update(path, "utf8").digest("hex")}`;
}
