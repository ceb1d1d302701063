// An image of chunks that do not compress, in a repository that counts what is asked for.
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import { dirname, join } from "node:path";
import { randomBytes } from "node:crypto";
import { zstdCompressSync } from "node:zlib";
import { chunkId, type ChunkIndex, chunkPath, readIndex, writeIndex } from "../../../ota/index/format/index.ts";
import type { Credential } from "../counterparts/pki.ts";
import { portOf } from "../counterparts/static-repository.ts";
import type { TestContext } from "../runner/context.ts";

export interface SlowImage {
  readonly index: ChunkIndex;
  /** Bytes of all files of chunks. */
  readonly bytes: number;
}

/** Writes `image.caibx` and `store/` into `directory`. */
export async function slowImage(directory: string, chunkBytes: readonly number[]): Promise<SlowImage> {
  let bytes = 0;
  const refs: { readonly id: string; readonly length: number }[] = [];
  for (const length of chunkBytes) {
    const content = randomBytes(length);
    const id = chunkId(content);
    const file = zstdCompressSync(content);
    const path = join(directory, "store", chunkPath(id));
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, file);
    bytes += file.byteLength;
    refs.push({ id, length });
  }
  const index = writeIndex(refs, { minBytes: 1, avgBytes: 2, maxBytes: Math.max(...chunkBytes) });
  await writeFile(join(directory, "image.caibx"), index);
  return { index: readIndex(index), bytes };
}

export interface CountingRepository {
  readonly port: number;
  /** Every request, in order: its path and its Range. */
  readonly asked: readonly { readonly path: string; readonly range: string | undefined }[];
}

type Answer = (request: IncomingMessage, response: ServerResponse, file: Buffer) => boolean;

/**
 * Serves `directory` below `/repository`, with one range and entity tags.
 * @param instead answers in the place of the file, and returns true when it did.
 */
export async function countingRepository(
  t: TestContext,
  options: { readonly directory: string; readonly server: Credential; readonly address?: string; readonly instead?: Answer },
): Promise<CountingRepository> {
  const { directory, server, address = "127.0.0.1", instead = () => false } = options;
  const asked: { path: string; range: string | undefined }[] = [];
  const https = createServer({ key: server.key, cert: server.cert }, (request, response) => {
    const path = (request.url ?? "").replace("/repository/", "");
    const { range, "if-range": same } = request.headers;
    asked.push({ path, range });
    void readFile(join(directory, path)).then(
      (file) => {
        if (instead(request, response, file)) return;
        const tag = `"${path.length}-${file.length}"`;
        const first = /^bytes=(\d+)-$/u.exec(range ?? "")?.[1];
        const start = first === undefined || (same !== undefined && same !== tag) ? undefined : Number(first);
        const head = { etag: tag, "content-type": "application/octet-stream", "content-length": file.length - (start ?? 0) };
        if (start === undefined) response.writeHead(200, head);
        else response.writeHead(206, { ...head, "content-range": `bytes ${start}-${file.length - 1}/${file.length}` });
        response.end(file.subarray(start ?? 0));
      },
      () => response.writeHead(404).end(),
    );
  }).listen(0, address);
  await once(https, "listening");
  t.teardown(async () => {
    https.closeAllConnections();
    await new Promise((resolve) => https.close(resolve));
  });
  return { port: portOf(https.address()), asked };
}
