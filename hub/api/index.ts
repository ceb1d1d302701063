// The hub's HTTPS API: enrolment, time and the update repository. TLS asks for a client certificate
// but does not require one: each route checks it.
import { createServer } from "node:https";
import type { X509Certificate } from "node:crypto";
import type { Socket } from "node:net";
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { asFault, Fault } from "../../hal/fault.ts";
import { printable } from "../../hal/format/text.ts";
import type { KeyAndCertificate, NoteSigner } from "../authority/index.ts";
import type { DeviceAdmission, DeviceContext } from "../devices/index.ts";
import { guardConnections } from "../gate.ts";
import type { JournalWriter } from "../journal.ts";
import {
  HTTP_BODY_BYTES_MAX,
  HTTP_BUSY_RETRY_S,
  HTTP_LINGER_MS,
  HTTP_PROVEN_MAX,
  HTTP_REQUEST_MS_MAX,
  HTTP_REQUESTS_BURST,
  HTTP_REQUESTS_PER_S,
  HTTP_TIMEOUTS_CHECK_MS,
  HTTP_UNPROVEN_MAX,
  REPOSITORY_REQUESTS_BURST,
  REPOSITORY_REQUESTS_PER_S,
} from "../limits.ts";
import { Pace } from "../pace.ts";
import { REPOSITORY_PREFIX, repositoryRoutes } from "../repository/index.ts";
import type { Trouble } from "../troubles.ts";
import { portOf, tlsOptions, type ServerTlsVersion } from "../tls.ts";
import type { CrlKeeper } from "../crl/index.ts";
import { boardRoute } from "./board.ts";
import { crlRoutes } from "./crl.ts";
import { estRoutes } from "./est.ts";
import { createRequesterOf, type Requesting } from "./requester.ts";
import { timeRoute } from "./time.ts";
import { sendTextErrors, textError } from "./text-errors.ts";

export interface ApiOptions {
  readonly listen: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly server: KeyAndCertificate;
  readonly minTls: ServerTlsVersion;
  readonly context: DeviceContext;
  readonly time: NoteSigner;
  readonly judge: (certificate: X509Certificate | undefined) => Promise<DeviceAdmission>;
  readonly retryAfterS: number;
  readonly crl: CrlKeeper;
  /** The update repository's directory. */
  readonly repository: string;
  /** A reader that takes nothing of an answer for so long is cut off. */
  readonly progressMs?: number;
  /** What is wrong with the hub at this time. */
  readonly troubles: () => readonly Trouble[];
  /** Faults of the hub itself. */
  readonly onFault: (fault: Fault) => void;
}

export interface Api {
  readonly port: number;
  renew(server: KeyAndCertificate): void;
  stop(): Promise<void>;
}

const URL_CHARACTERS_MAX = 128;
const STORE_FAULTS: ReadonlySet<string> = new Set(["hub.store-failed", "hub.store-conflict"]);

/** @throws Fault `hub.listen-failed`. */
export async function startApi(options: ApiOptions): Promise<Api> {
  const { listen, port, context, onFault } = options;
  const tls = (server: KeyAndCertificate) => tlsOptions(server, context.issuer.authorityPem, options.minTls);
  const https = createServer({
    ...tls(options.server),
    requestTimeout: HTTP_REQUEST_MS_MAX,
    headersTimeout: HTTP_REQUEST_MS_MAX,
    connectionsCheckingInterval: HTTP_TIMEOUTS_CHECK_MS,
  });
  const gate = guardConnections(https, {
    service: "est",
    unprovenMax: HTTP_UNPROVEN_MAX,
    provenMax: HTTP_PROVEN_MAX,
    authority: context.issuer.certificate,
    journal: context.journal,
    ...(options.progressMs === undefined ? {} : { progressMs: options.progressMs }),
  });
  https.keepAliveTimeout = 5000;
  const requesterOf = createRequesterOf(context.issuer.certificate);
  const crowded = paceOf(requesterOf, context.journal);
  const server: FastifyInstance = fastify({
    bodyLimit: HTTP_BODY_BYTES_MAX,
    forceCloseConnections: true,
    serverFactory: (handler) => https.on("request", handler),
    clientErrorHandler: answerUnreadable,
    // A URL that cannot be decoded reaches neither a route nor a hook.
    frameworkErrors: (_error, request, reply) => {
      if (!crowded(request, reply)) textError(reply, 400, "the URL cannot be decoded; a % must begin two hex digits of UTF-8");
    },
  });
  setBodyParsers(server);
  setErrorHandlers(server, onFault);
  server.addHook("onRequest", (request, reply, done) => {
    if (!crowded(request, reply)) done();
  });
  server.get("/healthz", (_request, reply) => health(reply, options.troubles()));
  estRoutes(server, options);
  timeRoute(server, options.time);
  crlRoutes(server, options.crl);
  boardRoute(server, options);
  repositoryRoutes(server, {
    directory: options.repository,
    prefix: REPOSITORY_PREFIX,
    requesterOf,
  });
  try {
    await server.listen({ host: listen, port });
  } catch (error) {
    throw asFault(error, "hub.listen-failed", `listen for EST on ${listen}:${port}`);
  }
  return {
    port: portOf(https),
    renew: (renewed) => https.setSecureContext(tls(renewed)),
    stop: async () => {
      const closed = server.close();
      gate.stop();
      await closed;
    },
  };
}

/** [STA-40] Anybody may ask, so the answer names the kind of trouble and no paths. */
function health(reply: FastifyReply, troubles: readonly Trouble[]): FastifyReply {
  if (troubles.length === 0) return textError(reply, 200, "ok");
  const codes = troubles.map(({ kind, code }) => `${kind}: ${code}`).join(", ");
  // [STA-52] a clock that was stepped is told, and the hub serves all the same
  if (troubles.every(({ kind }) => kind === "step"))
    return textError(reply, 200, `ok, but ${codes}; sallyport-hub alerts says more`);
  return textError(reply, 503, `trouble: ${codes}; sallyport-hub alerts says more`);
}

/**
 * [TUN-25] Files of the repository have a pace of their own: a release has thousands of chunks.
 * @returns a function that refuses a request beyond its pace, and returns true then.
 */
function paceOf(
  requesterOf: (request: Requesting) => string,
  journal: JournalWriter,
): (request: FastifyRequest, reply: FastifyReply) => boolean {
  const requests = new Pace({ burst: HTTP_REQUESTS_BURST, perSecond: HTTP_REQUESTS_PER_S });
  const files = new Pace({ burst: REPOSITORY_REQUESTS_BURST, perSecond: REPOSITORY_REQUESTS_PER_S });
  return (request, reply) => {
    const requester = requesterOf(request);
    const isFile = request.url.startsWith(`${REPOSITORY_PREFIX}/`);
    if ((isFile ? files : requests).take(requester)) return false;
    journal("connection.crowded", undefined, { service: "est", over: isFile ? "files" : "requests", from: requester });
    reply.header("retry-after", String(HTTP_BUSY_RETRY_S));
    textError(reply, 503, "too many requests from this device or address; try again later");
    return true;
  };
}

/** Connections whose end is under way. */
const ending = new WeakSet<Socket>();

/**
 * What is no HTTP request, or none in time: the connection ends with one line that says so. What
 * the client still sends is read and dropped for a moment: to reset the connection would take the
 * answer from it.
 */
function answerUnreadable(error: Error & { readonly code?: string }, socket: Socket): void {
  if (ending.has(socket)) return;
  ending.add(socket);
  if (!socket.writable) return void socket.destroy();
  const [status, text] = UNREADABLE[error.code ?? ""] ?? ["400 Bad Request", "this is no HTTP request that can be read"];
  const head = `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8`;
  socket.end(`${head}\r\nContent-Length: ${text.length + 1}\r\n\r\n${text}\n`);
  const timer = setTimeout(() => socket.destroy(), HTTP_LINGER_MS);
  socket.once("close", () => clearTimeout(timer));
}

/** By Node's code. */
const UNREADABLE: Readonly<Record<string, readonly [status: string, text: string]>> = {
  ERR_HTTP_REQUEST_TIMEOUT: ["408 Request Timeout", `the request was not complete within ${HTTP_REQUEST_MS_MAX / 1000} s`],
  HPE_HEADER_OVERFLOW: ["431 Request Header Fields Too Large", "the header of the request is too large"],
};

/** Bodies stay bytes: each route checks its own and explains what it expects. */
function setBodyParsers(server: FastifyInstance): void {
  server.removeAllContentTypeParsers();
  for (const type of ["application/pkcs10", "application/json"])
    server.addContentTypeParser(type, { parseAs: "buffer" }, (_request, body, done) => done(null, body));
}

function setErrorHandlers(server: FastifyInstance, onFault: (fault: Fault) => void): void {
  server.setNotFoundHandler((request, reply) =>
    textError(
      reply,
      404,
      `there is no ${request.method} ${printable(request.url, URL_CHARACTERS_MAX)}; EST is below /.well-known/est/`,
    ),
  );
  server.setErrorHandler((error: unknown, _request, reply) => {
    if (error instanceof Fault && sendTextErrors(reply, error)) return reply;
    const status = statusOf(error);
    if (status === 413) return textError(reply, 413, `the body has more than ${HTTP_BODY_BYTES_MAX} bytes`);
    if (status === 415)
      return textError(reply, 415, "expected Content-Type: application/pkcs10 (EST) or application/json (time)");
    if (status !== undefined && status >= 400 && status < 500) return textError(reply, status, "the request could not be read");
    if (isOutOfFiles(error)) {
      // The operator is told once, not at every request.
      reply.header("retry-after", String(HTTP_BUSY_RETRY_S));
      return textError(reply, 503, "the hub has too many files open; try again later");
    }
    const fault = asFault(error, "hub.store-failed", "answer a request");
    onFault(fault);
    // [TUN-27] The device asks again: then the disk may have room, or the store's thread runs.
    if (STORE_FAULTS.has(fault.code))
      return textError(
        reply.header("retry-after", String(HTTP_BUSY_RETRY_S)),
        503,
        "the hub cannot use its store; try again later",
      );
    return textError(reply, 500, "the hub failed; its operator finds the reason in the hub's output");
  });
}

function isOutOfFiles(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "EMFILE" || error.code === "ENFILE");
}

/** @returns the status of one of Fastify's own errors. */
function statusOf(error: unknown): number | undefined {
  if (typeof error !== "object" || error === null || !("statusCode" in error)) return undefined;
  return typeof error.statusCode === "number" ? error.statusCode : undefined;
}
