// The update repository: a directory as static files. Public by nature: what it serves is signed, and proven by who takes it. [OTA-37]
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { type OpenedFile, openInside } from "./files.ts";
import { BUSY_RETRY_S, IMMUTABLE_S, STREAMS_MAX } from "./limits.ts";
import { rangeOf } from "./range.ts";

/** Where devices look for it on the EST port. */
export const REPOSITORY_PREFIX = "/repository";

export interface RepositoryOptions {
  /** Need not exist yet: until it does, nothing is found. */
  readonly directory: string;
  /** `/repository`; no slash at its end. */
  readonly prefix: string;
}

/** [OTA-37] GET and HEAD of `prefix/*`; one range; entity tags; at most {@link STREAMS_MAX} files at once. No listing, no writing. */
export function repositoryRoutes(server: FastifyInstance, { directory, prefix }: RepositoryOptions): void {
  let open = 0;
  server.route<{ Params: { "*": string } }>({
    method: ["GET", "HEAD"],
    url: `${prefix}/*`,
    handler: async (request, reply) => {
      if (open >= STREAMS_MAX) return reply.code(503).header("retry-after", String(BUSY_RETRY_S)).send();
      open += 1;
      reply.raw.once("close", () => (open -= 1)); // sent, broken off or never begun
      const path = request.params["*"];
      const opened = await openInside(directory, path);
      if (opened === undefined) return reply.code(404).type("text/plain; charset=utf-8").send("no such file\n");
      return send(request, reply, opened, path.endsWith(".cacnk"));
    },
  });
}

async function send(
  request: FastifyRequest,
  reply: FastifyReply,
  { file, size, modifiedMs }: OpenedFile,
  isImmutable: boolean,
): Promise<FastifyReply> {
  const tag = `"${size.toString(16)}-${Math.trunc(modifiedMs).toString(16)}"`;
  reply.headers({
    etag: tag,
    "accept-ranges": "bytes",
    "cache-control": isImmutable ? `public, max-age=${IMMUTABLE_S}, immutable` : "no-cache",
    "x-content-type-options": "nosniff",
  });
  reply.type("application/octet-stream");
  const { "if-none-match": known, "if-range": same } = request.headers;
  const range = same === undefined || same === tag ? rangeOf(request.headers.range, size) : undefined;
  if (known === tag || range === "unsatisfiable" || request.method === "HEAD" || size === 0) {
    await file.close();
    if (known === tag) return reply.code(304).send();
    if (range === "unsatisfiable") return reply.code(416).header("content-range", `bytes */${size}`).send();
    return reply.header("content-length", String(size)).send(request.method === "HEAD" ? undefined : "");
  }
  const { start, end } = range ?? { start: 0, end: size - 1 };
  if (range !== undefined) reply.code(206).header("content-range", `bytes ${start}-${end}/${size}`);
  reply.header("content-length", String(end - start + 1));
  // ends and closes with the answer, also when the reader breaks off
  return reply.send(file.createReadStream({ start, end, autoClose: true }));
}
