// A repository over HTTPS: static files, bounded in bytes and in the time without progress. What
// broke off goes on where it ended. Redirects are not followed, and nothing is decoded. [OTA-37]
// [OTA-75] [OTA-76]
import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import { Agent, type AgentOptions, request as httpsRequest } from "node:https";
import { isIP, type Socket } from "node:net";
import { checkServerIdentity, type PeerCertificate, type SecureContext } from "node:tls";
import { assert, Fault, wordsOf } from "../../hal/fault.ts";
import { readRetryAfterMs } from "../../hal/format/retry-after.ts";
import { type HostAndPort, hostAndPort } from "../../hal/format/host.ts";
import { quoted } from "../../hal/format/text.ts";
import { PartialFile, type Repository } from "../fetch/index.ts";
import { httpFault } from "./faults.ts";
import { Line, LINE_PACE_DEFAULT, type LinePace } from "./line.ts";

/** Connections to the repository that are kept open. */
export const SOCKETS_MAX = 6;
/** A kept connection that nobody uses is closed after this long. */
const UNUSED_MS_MAX = 20_000;
const HEADER_BYTES_MAX = 16_384;
/** Of another server's words in a message, UTF-16 code units. */
const QUOTED_CHARACTERS_MAX = 128;

export interface HttpRepositoryOptions {
  /** The name that the server's certificate must have. */
  readonly host: string;
  readonly port: number;
  /** The address to connect to, when it differs. */
  readonly connectTo?: HostAndPort;
  /** HTTP CONNECT proxy. TLS stays end to end with the server. [TUN-12] */
  readonly proxy?: HostAndPort;
  /**
   * The pinned authority, our certificate and the least TLS version. One context serves every
   * connection with that key.
   */
  readonly context: SecureContext;
  /** In front of every path, such as `/repository`; without a slash at its end. */
  readonly prefix: string;
  /** The least that the line has to bring. [OTA-75] */
  readonly pace?: LinePace;
}

export interface HttpRepository extends Repository {
  /** Ends the requests under way and closes every connection. */
  close(): void;
}

export function createHttpRepository(options: HttpRepositoryOptions): HttpRepository {
  return new HttpsRepository(options);
}

class HttpsRepository implements HttpRepository {
  readonly #options: HttpRepositoryOptions;
  readonly #line: Line;
  readonly #persistent: Agent;
  /** Makes a new connection for each request. */
  readonly #singleUse: Agent;
  readonly #usedSockets = new WeakSet<Socket>();

  constructor(options: HttpRepositoryOptions) {
    this.#options = options;
    this.#line = new Line(options.pace ?? LINE_PACE_DEFAULT);
    this.#persistent = new Agent({ ...agentOptions(options), keepAlive: true });
    this.#singleUse = new Agent({ ...agentOptions(options), keepAlive: false });
  }

  async get(path: string, bytesMax: number, signal?: AbortSignal, partial?: PartialFile): Promise<Uint8Array | undefined> {
    const { host, port } = this.#options;
    const line = this.#line.begin();
    const stop = signal === undefined ? line.signal : AbortSignal.any([line.signal, signal]);
    try {
      return await this.#fetch({ path, bytesMax, partial: partial ?? new PartialFile() }, stop);
    } catch (error) {
      if (signal?.aborted === true) throw new Fault("update.aborted", `fetch "${path}": cancelled`, { cause: error });
      if (line.signal.aborted)
        throw new Fault("fetch.timeout", `fetch "${path}" from ${hostAndPort({ host, port })}: ${wordsOf(line.signal.reason)}`, {
          cause: error,
        });
      throw httpFault(error, `fetch "${path}" from ${hostAndPort({ host, port })}`);
    } finally {
      line.end();
    }
  }

  close(): void {
    this.#persistent.destroy();
    this.#singleUse.destroy();
  }

  async #fetch(wanted: WantedFile, signal: AbortSignal): Promise<Uint8Array | undefined> {
    const response = await this.#request(wanted, signal);
    this.#line.heardHead();
    const status = response.statusCode ?? 0;
    try {
      if (status === 404) return undefined;
      const refused = this.#refusalOf(wanted, status, response.headers);
      if (refused !== undefined) throw refused;
      if (status === 200) wanted.partial.restart(strongTag(response.headers.etag));
      await this.#collect(response, wanted);
      return wanted.partial.take();
    } finally {
      if (!response.readableEnded) response.destroy();
    }
  }

  /** @returns why the answer is not the file, or undefined for one whose body is read. */
  #refusalOf({ path, partial }: WantedFile, status: number, headers: IncomingHttpHeaders): Fault | undefined {
    const { host, port } = this.#options;
    const action = `fetch "${path}" from ${hostAndPort({ host, port })}`;
    const isRest = status === 206 && partial.length > 0;
    // a range that the file does not have, or other bytes than those asked for: begin anew
    if (status === 416 || (isRest && firstByteOf(headers["content-range"]) !== partial.length)) {
      partial.restart(undefined);
      return new Fault("fetch.bad-response", `${action}: it answered ${status} with another part than the one asked for`);
    }
    if (status !== 200 && !isRest) {
      const { location, "retry-after": again, date } = headers;
      const to = location === undefined ? "" : `, a redirect to ${quoted(location, QUOTED_CHARACTERS_MAX)}`;
      return new Fault("fetch.refused", `${action}: it answered ${status}${to}`, { retryAfterMs: readRetryAfterMs(again, date) });
    }
    const what = somethingElse(headers);
    return what === undefined
      ? undefined
      : new Fault("fetch.bad-response", `${action}: the repository answered with something else: ${what}`);
  }

  /** Adds what arrives to the part that is there, so that it is not lost when the line breaks. */
  async #collect(response: IncomingMessage, { path, bytesMax, partial }: WantedFile): Promise<void> {
    const announced = Number(response.headers["content-length"] ?? 0);
    const expectFits = (bytes: number): void => {
      if (bytes > bytesMax) throw new Fault("fetch.too-large", `fetch "${path}": it has more than ${bytesMax} bytes`);
    };
    try {
      expectFits(partial.length + announced);
      for await (const piece of response) {
        assert(piece instanceof Uint8Array, "a stream without an encoding gives bytes");
        expectFits(partial.length + piece.byteLength);
        partial.add(piece);
        this.#line.heard(piece.byteLength);
      }
    } catch (error) {
      if (error instanceof Fault) partial.restart(undefined);
      throw error;
    }
  }

  /**
   * A server, or a NAT on the way, may drop a kept connection at the moment it is used again. Node
   * leaves the second attempt to the caller (http.ClientRequest, under `reusedSocket`, which is not
   * set for a request that had to wait for its connection). The second attempt gets a new
   * connection, because another kept one may be dead too.
   */
  async #request(wanted: WantedFile, signal: AbortSignal): Promise<IncomingMessage> {
    const { response, isReused } = this.#send(this.#persistent, wanted, signal);
    try {
      return await response;
    } catch (error) {
      if (!isReused() || !isConnectionLost(error)) throw error;
      return await this.#send(this.#singleUse, wanted, signal).response;
    }
  }

  #send(agent: Agent, { path, partial }: WantedFile, signal: AbortSignal): PendingRequest {
    const { host, port, connectTo = { host, port }, prefix } = this.#options;
    const response = Promise.withResolvers<IncomingMessage>();
    const request = httpsRequest({
      agent,
      host: connectTo.host,
      port: connectTo.port,
      servername: isIP(host) === 0 ? host : "", // RFC 6066 section 3: no addresses in SNI
      path: `${prefix}/${path}`,
      headers: { host: hostAndPort({ host, port }), "accept-encoding": "identity", ...rangeOf(partial) },
      maxHeaderSize: HEADER_BYTES_MAX,
      signal,
    });
    request.on("response", response.resolve);
    request.on("error", response.reject);
    let isReused = false;
    request.on("socket", (socket) => {
      isReused = this.#usedSockets.has(socket);
      this.#usedSockets.add(socket);
      socket.once("secureConnect", () => this.#line.heardHead());
    });
    request.end();
    return { response: response.promise, isReused: () => isReused };
  }
}

interface WantedFile {
  readonly path: string;
  readonly bytesMax: number;
  readonly partial: PartialFile;
}

interface PendingRequest {
  readonly response: Promise<IncomingMessage>;
  /** True when the request went out on a connection that had carried another one before. */
  readonly isReused: () => boolean;
}

function agentOptions({ host, context, proxy }: HttpRepositoryOptions): AgentOptions {
  return {
    maxSockets: SOCKETS_MAX,
    timeout: UNUSED_MS_MAX,
    secureContext: context,
    rejectUnauthorized: true,
    // Given to the agent and not with each request: Node keeps no connection that was checked by a
    // function of its request's own.
    checkServerIdentity: (_connected: string, certificate: PeerCertificate) => checkServerIdentity(host, certificate),
    ALPNProtocols: ["http/1.1"],
    ...(proxy !== undefined && { proxyEnv: { HTTPS_PROXY: urlOf(proxy) } }),
  };
}

/**
 * ECONNRESET also stands for "socket hang up"; EPIPE is a reset that came before the request was
 * written.
 */
function isConnectionLost(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ECONNRESET" || error.code === "EPIPE");
}

function urlOf(proxy: HostAndPort): string {
  return `http://${hostAndPort(proxy)}`;
}

/** RFC 9110 sections 13.1.5 and 14.2: the rest of the file, or all of it if it has changed. */
function rangeOf({ length, validator }: PartialFile): Readonly<Record<string, string>> {
  if (length === 0) return {};
  return { range: `bytes=${length}-`, ...(validator !== undefined && { "if-range": validator }) };
}

/** A weak tag does not say that the bytes are the same (RFC 9110 section 8.8.3.2). */
function strongTag(tag: string | undefined): string | undefined {
  return tag !== undefined && /^"[\x21\x23-\x7e]{0,256}"$/u.test(tag) ? tag : undefined;
}

function firstByteOf(contentRange: string | undefined): number | undefined {
  const first = /^bytes (\d{1,15})-\d{1,15}\/(?:\d{1,15}|\*)$/u.exec(contentRange ?? "")?.[1];
  return first === undefined ? undefined : Number(first);
}

/**
 * A repository has no web pages, and nothing in it is encoded on the way. What answers so is in
 * front of it: a maintenance page, a portal, a proxy. [OTA-78]
 */
function somethingElse(headers: IncomingHttpHeaders): string | undefined {
  const { "content-type": type = "", "content-encoding": encoding = "identity" } = headers;
  if (/^\s*(?:text\/html|application\/xhtml\+xml)\b/iu.test(type))
    return "a web page, as in maintenance, or of a portal that wants somebody to log in";
  if (encoding.toLowerCase() !== "identity") return `encoded as ${quoted(encoding, QUOTED_CHARACTERS_MAX)}`;
  return undefined;
}
