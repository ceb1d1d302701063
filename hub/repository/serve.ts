// The server of the update repository: a directory as static files. It is public: the files are
// signed, and the devices verify them. [OTA-37]
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { type OpenedFile, openInside } from "./files.ts";
import { Shares } from "../shares.ts";
import { sourceOf } from "../source.ts";
import { rangeOf } from "./range.ts";

/** The path of the repository on the EST port. */
export const REPOSITORY_PREFIX = "/repository";

export interface RepositoryOptions {
  /** It need not exist yet: until it does, no file is found. */
  readonly directory: string;
  /** `/repository`, without a trailing slash. */
  readonly prefix: string;
  /** Whose share of the streams a request takes. Default: that of its address. */
  readonly requesterOf?: (request: FastifyRequest) => string;
}

/**
 * Files sent at once, altogether and to one source: each holds a descriptor for as long as its
 * reader takes.
 */
const STREAMS_MAX = 1024;
const STREAMS_PER_SOURCE_MAX = 256;
const BUSY_RETRY_S = 5;
/** Chunks never change; all other files are revalidated. */
const IMMUTABLE_S = 31_536_000;

/**
 * [OTA-37] GET and HEAD of `prefix/*` with one range and entity tags, for at most
 * {@link STREAMS_MAX} files at once, of which no source takes all. No listing, no writing.
 */
export function repositoryRoutes(server: FastifyInstance, options: RepositoryOptions): void {
  const { directory, prefix, requesterOf = ({ ip }) => sourceOf(ip) } = options;
  const streams = new Shares({ countMax: STREAMS_MAX, ofSourceMax: STREAMS_PER_SOURCE_MAX });
  server.route<{ Params: { "*": string } }>({
    method: ["GET", "HEAD"],
    url: `${prefix}/*`,
    handler: async (request, reply) => {
      const source = requesterOf(request);
      // A site behind one address has many readers: none of them ends another one's download.
      if (streams.isFullFor(source)) return reply.code(503).header("retry-after", String(BUSY_RETRY_S)).send();
      const share = streams.enter(source, () => void request.raw.socket.destroy());
      // After the answer was sent, aborted or never begun
      reply.raw.once("close", () => share.leave());
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
  // The stream closes the file after the answer, also when the reader aborts.
  return reply.send(file.createReadStream({ start, end, autoClose: true }));
}
