// Where releases are published: static files by path.

/** A hub, a CDN, an object store, a USB stick. What it gives proves nothing by where it came from. */
export interface Repository {
  /**
   * One attempt.
   * @param path relative, as `repositoryPathSchema`.
   * @returns undefined when it has no such file.
   * @throws Fault `fetch.*`, `tls.*`, `update.aborted`.
   */
  get(path: string, bytesMax: number, signal?: AbortSignal): Promise<Uint8Array | undefined>;
}
