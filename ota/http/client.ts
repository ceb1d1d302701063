// Static files over HTTPS: what a repository is. Bounded in bytes and time; redirects are not followed, nothing is decoded. [OTA-37]
import type { IncomingMessage } from "node:http";
import { Agent, request } from "node:https";
import { isIP, type Socket } from "node:net";
import { checkServerIdentity, type PeerCertificate, type SecureContext } from "node:tls";
import { Fault } from "../../hal/fault.ts";
import type { Repository } from "../fetch/index.ts";
import { httpFault } from "./faults.ts";
import { HEADER_BYTES_MAX, IDLE_MS_MAX, REQUEST_MS_MAX, SOCKETS_MAX } from "./limits.ts";

export interface HttpRepositoryOptions {
  /** What the server's certificate must carry. */
  readonly host: string;
  readonly port: number;
  /** Where to connect instead, when that differs. */
  readonly connectTo?: { readonly host: string; readonly port: number };
  /** HTTP CONNECT proxy; TLS stays end to end with the server. [TUN-12] */
  readonly proxy?: { readonly host: string; readonly port: number };
  /** Pinned authority, our certificate, least TLS version: one for every connection with that key. */
  readonly context: SecureContext;
  /** In front of every path, `/repository`; no slash at its end. */
  readonly prefix: string;
  readonly timeoutMs?: number;
}

export interface HttpRepository extends Repository {
  /** Ends what is under way and closes every connection. */
  close(): void;
}

export function httpRepository(options: HttpRepositoryOptions): HttpRepository {
  const { host, port, connectTo = { host, port }, context, prefix, timeoutMs = REQUEST_MS_MAX } = options;
  const connecting = {
    maxSockets: SOCKETS_MAX,
    timeout: IDLE_MS_MAX,
    secureContext: context,
    rejectUnauthorized: true,
    // here and not with each request: Node keeps no connection that was checked by a function of its request's own
    checkServerIdentity: (_connected: string, certificate: PeerCertificate) => checkServerIdentity(host, certificate),
    ALPNProtocols: ["http/1.1"],
    ...(options.proxy !== undefined && { proxyEnv: { HTTPS_PROXY: urlOf(options.proxy) } }),
  };
  const keeping = new Agent({ ...connecting, keepAlive: true });
  const unkept = new Agent({ ...connecting, keepAlive: false });
  const used = new WeakSet<Socket>();
  const get = async (path: string, bytesMax: number, signal: AbortSignal): Promise<Uint8Array | undefined> => {
    const response = await ask(path, signal);
    const status = response.statusCode ?? 0;
    if (status !== 200) response.destroy();
    if (status === 404) return undefined;
    if (status !== 200) throw new Fault("fetch.refused", `fetch "${path}" from ${host}:${port}: it answered ${status}`);
    return await collect(response, path, bytesMax);
  };
  /**
   * A server, or a NAT on the way, may drop a kept connection just when it is used again; Node leaves it to the caller to ask once more (http.ClientRequest, under
   * `reusedSocket`; which is not set for a request that had to wait for its connection). That one gets a connection of its own: another kept one may be as dead.
   */
  const ask = async (path: string, signal: AbortSignal): Promise<IncomingMessage> => {
    const { answered, isReused } = send(keeping, path, signal);
    try {
      return await answered;
    } catch (error) {
      if (!isReused() || !isConnectionLost(error)) throw error;
      return await send(unkept, path, signal).answered;
    }
  };
  const send = (agent: Agent, path: string, signal: AbortSignal): Sent => {
    const answered = Promise.withResolvers<IncomingMessage>();
    const sent = request({
      agent,
      host: connectTo.host,
      port: connectTo.port,
      servername: isIP(host) === 0 ? host : "", // RFC 6066 section 3: no addresses in SNI
      path: `${prefix}/${path}`,
      headers: { host: `${host}:${port}`, "accept-encoding": "identity" },
      maxHeaderSize: HEADER_BYTES_MAX,
      signal,
    });
    sent.on("response", answered.resolve);
    sent.on("timeout", () =>
      sent.destroy(new Fault("fetch.timeout", `fetch "${path}": nothing came for ${IDLE_MS_MAX / 1000} s`)),
    );
    sent.on("error", answered.reject);
    let isReused = false;
    sent.on("socket", (socket) => {
      isReused = used.has(socket);
      used.add(socket);
    });
    sent.end();
    return { answered: answered.promise, isReused: () => isReused };
  };
  return {
    get: async (path, bytesMax, signal) => {
      const deadline = AbortSignal.timeout(timeoutMs);
      try {
        return await get(path, bytesMax, signal === undefined ? deadline : AbortSignal.any([deadline, signal]));
      } catch (error) {
        if (signal?.aborted === true) throw new Fault("update.aborted", `fetch "${path}": called off`, { cause: error });
        if (deadline.aborted)
          throw new Fault("fetch.timeout", `fetch "${path}": no whole answer within ${timeoutMs / 1000} s`, { cause: error });
        throw httpFault(error, `fetch "${path}" from ${host}:${port}`);
      }
    },
    close: () => {
      keeping.destroy();
      unkept.destroy();
    },
  };
}

interface Sent {
  readonly answered: Promise<IncomingMessage>;
  /** It went out on a connection that had carried another before. */
  readonly isReused: () => boolean;
}

/** ECONNRESET is "socket hang up" too; EPIPE is a reset that came before the request was written. */
function isConnectionLost(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ECONNRESET" || error.code === "EPIPE");
}

function urlOf({ host, port }: { readonly host: string; readonly port: number }): string {
  return `http://${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
}

/** A length that is too large is refused before a byte of the body is read; a body that is longer than said, when it is. */
async function collect(response: IncomingMessage, path: string, bytesMax: number): Promise<Uint8Array> {
  const said = Number(response.headers["content-length"] ?? 0);
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    if (said > bytesMax) throw tooLarge(path, bytesMax);
    // no encoding is set, so the chunks are buffers; the typings cannot know
    for await (const chunk of response) {
      if (!(chunk instanceof Uint8Array)) throw new Fault("assert.broken", "a response without an encoding gave text");
      bytes += chunk.byteLength;
      if (bytes > bytesMax) throw tooLarge(path, bytesMax);
      chunks.push(chunk);
    }
  } catch (error) {
    response.destroy();
    throw error;
  }
  return Buffer.concat(chunks);
}

function tooLarge(path: string, bytesMax: number): Fault {
  return new Fault("fetch.too-large", `fetch "${path}": it has more than ${bytesMax} bytes`);
}
