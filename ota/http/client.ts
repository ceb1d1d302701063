// A repository over HTTPS: static files, bounded in bytes and time. Redirects are not followed, and
// nothing is decoded. [OTA-37]
import type { IncomingMessage } from "node:http";
import { Agent, type AgentOptions, request as httpsRequest } from "node:https";
import { isIP, type Socket } from "node:net";
import { checkServerIdentity, type PeerCertificate, type SecureContext } from "node:tls";
import { Fault } from "../../hal/fault.ts";
import { collectBytes } from "../../hal/format/collect.ts";
import { type HostAndPort, hostAndPort } from "../../hal/format/host.ts";
import type { Repository } from "../fetch/index.ts";
import { httpFault } from "./faults.ts";

/** Connections to the repository that are kept open. */
export const SOCKETS_MAX = 6;
/** Time limit of a whole answer. A chunk of 72 kB takes 20 s at 30 kbit/s. */
const REQUEST_MS_MAX = 60_000;
/** A line without a byte for this long is dead. */
const IDLE_MS_MAX = 20_000;
const HEADER_BYTES_MAX = 16_384;

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
  readonly timeoutMs?: number;
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
  readonly #timeoutMs: number;
  readonly #persistent: Agent;
  /** Makes a new connection for each request. */
  readonly #singleUse: Agent;
  readonly #usedSockets = new WeakSet<Socket>();

  constructor(options: HttpRepositoryOptions) {
    this.#options = options;
    this.#timeoutMs = options.timeoutMs ?? REQUEST_MS_MAX;
    this.#persistent = new Agent({ ...agentOptions(options), keepAlive: true });
    this.#singleUse = new Agent({ ...agentOptions(options), keepAlive: false });
  }

  async get(path: string, bytesMax: number, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    const { host, port } = this.#options;
    const deadline = AbortSignal.timeout(this.#timeoutMs);
    try {
      return await this.#fetch(path, bytesMax, signal === undefined ? deadline : AbortSignal.any([deadline, signal]));
    } catch (error) {
      if (signal?.aborted === true) throw new Fault("update.aborted", `fetch "${path}": cancelled`, { cause: error });
      if (deadline.aborted)
        throw new Fault("fetch.timeout", `fetch "${path}": no complete answer within ${this.#timeoutMs / 1000} s`, {
          cause: error,
        });
      throw httpFault(error, `fetch "${path}" from ${hostAndPort({ host, port })}`);
    }
  }

  close(): void {
    this.#persistent.destroy();
    this.#singleUse.destroy();
  }

  async #fetch(path: string, bytesMax: number, signal: AbortSignal): Promise<Uint8Array | undefined> {
    const { host, port } = this.#options;
    const response = await this.#request(path, signal);
    const status = response.statusCode ?? 0;
    if (status !== 200) response.destroy();
    if (status === 404) return undefined;
    if (status !== 200)
      throw new Fault("fetch.refused", `fetch "${path}" from ${hostAndPort({ host, port })}: it answered ${status}`);
    return await collect(response, path, bytesMax);
  }

  /**
   * A server, or a NAT on the way, may drop a kept connection at the moment it is used again. Node
   * leaves the second attempt to the caller (http.ClientRequest, under `reusedSocket`, which is not
   * set for a request that had to wait for its connection). The second attempt gets a new
   * connection, because another kept one may be dead too.
   */
  async #request(path: string, signal: AbortSignal): Promise<IncomingMessage> {
    const { response, isReused } = this.#send(this.#persistent, path, signal);
    try {
      return await response;
    } catch (error) {
      if (!isReused() || !isConnectionLost(error)) throw error;
      return await this.#send(this.#singleUse, path, signal).response;
    }
  }

  #send(agent: Agent, path: string, signal: AbortSignal): PendingRequest {
    const { host, port, connectTo = { host, port }, prefix } = this.#options;
    const response = Promise.withResolvers<IncomingMessage>();
    const request = httpsRequest({
      agent,
      host: connectTo.host,
      port: connectTo.port,
      servername: isIP(host) === 0 ? host : "", // RFC 6066 section 3: no addresses in SNI
      path: `${prefix}/${path}`,
      headers: { host: hostAndPort({ host, port }), "accept-encoding": "identity" },
      maxHeaderSize: HEADER_BYTES_MAX,
      signal,
    });
    request.on("response", response.resolve);
    request.on("timeout", () =>
      request.destroy(new Fault("fetch.timeout", `fetch "${path}": no byte came for ${IDLE_MS_MAX / 1000} s`)),
    );
    request.on("error", response.reject);
    let isReused = false;
    request.on("socket", (socket) => {
      isReused = this.#usedSockets.has(socket);
      this.#usedSockets.add(socket);
    });
    request.end();
    return { response: response.promise, isReused: () => isReused };
  }
}

interface PendingRequest {
  readonly response: Promise<IncomingMessage>;
  /** True when the request went out on a connection that had carried another one before. */
  readonly isReused: () => boolean;
}

function agentOptions({ host, context, proxy }: HttpRepositoryOptions): AgentOptions {
  return {
    maxSockets: SOCKETS_MAX,
    timeout: IDLE_MS_MAX,
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

/**
 * An announced length above the bound is refused before a byte of the body is read. A body that is
 * longer than announced is refused at the bound.
 */
async function collect(response: IncomingMessage, path: string, bytesMax: number): Promise<Uint8Array> {
  const announced = Number(response.headers["content-length"] ?? 0);
  try {
    if (announced > bytesMax) throw tooLarge(path, bytesMax);
    return await collectBytes(response, bytesMax, () => tooLarge(path, bytesMax));
  } catch (error) {
    response.destroy();
    throw error;
  }
}

function tooLarge(path: string, bytesMax: number): Fault {
  return new Fault("fetch.too-large", `fetch "${path}": it has more than ${bytesMax} bytes`);
}
