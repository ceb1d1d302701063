// The byte stream to the hub: TCP, an optional proxy, and TLS with certificates on both sides.
// [TUN-2] [TUN-12]
import { createHash } from "node:crypto";
import net from "node:net";
import tls from "node:tls";
import { keyFault } from "../../hal/key-fault.ts";
import { Fault } from "../../hal/fault.ts";
import { hostAndPort } from "../../hal/format/host.ts";
import { tlsTrust } from "../../hal/format/pins.ts";
import { printable } from "../../hal/format/text.ts";
import { checkByPinItself, connectThroughProxy, type Endpoint, isOfAnotherPin } from "../../provisioning/tls/index.ts";
import { connectFault } from "./classify.ts";
import { PEER_CHARACTERS_MAX } from "./limits.ts";

export type TlsVersion = "TLSv1.2" | "TLSv1.3";

export interface StreamOptions {
  /** The name or address that the hub's certificate must contain, independent of `address`. */
  readonly host: string;
  readonly address: Endpoint;
  readonly proxy: Endpoint | undefined;
  readonly alpn: string | undefined;
  readonly context: tls.SecureContext;
  /** PEM of the pins that are in the context. [ID-87] */
  readonly authority: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

export interface StreamFacts {
  /** Subject CN of the hub's certificate. */
  readonly peer: string;
  /** SHA-256 of the hub's certificate: `sha256:` and 64 hex digits. */
  readonly fingerprint: string;
  readonly protocol: string;
  readonly cipher: string;
  /** The negotiated key exchange group, such as X25519MLKEM768. */
  readonly group: string;
}

export interface Stream {
  readonly socket: tls.TLSSocket;
  readonly facts: StreamFacts;
}

/**
 * The hybrid group is first, so that traffic recorded today stays confidential once quantum
 * computers exist. Each group was tried with the OpenSSL in Node 26. [TUN-2]
 */
const GROUPS = "X25519MLKEM768:X25519:P-256";
/**
 * The suites of TLS 1.3, then those of 1.2 with forward secrecy and AEAD (RFC 9325 section 4.2).
 */
const CIPHERS = [
  "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256",
  "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256",
].join(":");

/**
 * Makes the TLS context of a certificate and its key. It must be reused for every connection,
 * because each context opens the key, and a TPM has room for three loaded keys.
 * @throws Fault `key.tpm-unavailable` when the TPM does not load the key now; `key.mismatch` when
 *   key and certificate are not a pair, or one of them cannot be read; `x509.invalid` as
 *   {@link tlsTrust}.
 */
export function createContext(options: {
  readonly cert: string;
  readonly key: string;
  readonly authority: string;
  readonly minTls: TlsVersion;
}): tls.SecureContext {
  const trust = tlsTrust(options.authority);
  try {
    return tls.createSecureContext({
      ...trust,
      cert: options.cert,
      key: options.key,
      minVersion: options.minTls,
      maxVersion: "TLSv1.3",
      ecdhCurve: GROUPS,
      ciphers: CIPHERS,
    });
  } catch (cause) {
    throw keyFault("load certificate and key for the tunnel", cause);
  }
}

/**
 * Connects, and resolves after the TLS handshake.
 * @throws Fault `tunnel.unreachable`, `tunnel.timeout`, `tunnel.proxy-refused`, `tunnel.refused`
 *   (the hub refuses this device's certificate), `tunnel.protocol`, `tls.hub-untrusted`,
 *   `tls.hub-name`, `tls.hub-dates`; `tunnel.closed` when `signal` aborts.
 */
export async function openStream(options: StreamOptions): Promise<Stream> {
  try {
    return await open(options, "openssl");
  } catch (error) {
    if (!(error instanceof Fault) || !isOfAnotherPin(error.cause, options.authority)) throw error;
    return open(options, "ourselves"); // with the same context: each holds the key of a TPM
  }
}

type Judge = "openssl" | "ourselves";

async function open(options: StreamOptions, judge: Judge): Promise<Stream> {
  const first = options.proxy ?? options.address;
  const action = `connect to "${hostAndPort(options.address)}"`;
  const socket = net.connect({ host: first.host, port: first.port, noDelay: true, keepAlive: true });
  // Later errors show on the TLS socket. Without a listener here they would end the process.
  socket.on("error", () => undefined);
  const deadline = AbortSignal.timeout(options.timeoutMs);
  const stop = AbortSignal.any([deadline, options.signal]);
  const abort = (): void => void socket.destroy();
  stop.addEventListener("abort", abort, { once: true });
  if (stop.aborted) abort();
  try {
    await once(socket, "connect");
    if (options.proxy !== undefined)
      await connectThroughProxy(socket, {
        proxy: options.proxy,
        target: options.address,
        faultCode: "tunnel.proxy-refused",
      });
    const secured = secure(socket, options, judge);
    await once(secured, "secureConnect");
    if (!secured.authorized) {
      const { host, address, authority } = options;
      checkByPinItself(secured.getPeerX509Certificate(), { host, port: address.port, authority, connectTo: address });
    }
    return { socket: secured, facts: factsOf(secured) };
  } catch (error) {
    socket.destroy();
    if (options.signal.aborted) throw new Fault("tunnel.closed", `${action}: stopped`, { cause: error });
    if (deadline.aborted)
      throw new Fault("tunnel.timeout", `${action}: not done within ${options.timeoutMs} ms`, { cause: error });
    throw connectFault(error, action);
  } finally {
    stop.removeEventListener("abort", abort);
  }
}

function secure(socket: net.Socket, options: StreamOptions, judge: Judge): tls.TLSSocket {
  const secured = tls.connect({
    socket,
    host: options.host,
    // An address is not a server name (RFC 6066 section 3). It is still checked, against the
    // addresses in the certificate.
    ...(net.isIP(options.host) === 0 ? { servername: options.host } : {}),
    secureContext: options.context,
    rejectUnauthorized: judge === "openssl",
    checkServerIdentity: (_name, certificate) => tls.checkServerIdentity(options.host, certificate),
    ...(options.alpn === undefined ? {} : { ALPNProtocols: [options.alpn] }),
  });
  // The caller that waits gets the first error. A later one has nothing new, and must not end the
  // process.
  return secured.on("error", () => undefined);
}

/**
 * Used instead of Node's `once`, which leaves listeners behind and does not notice a close without
 * an error.
 */
function once(socket: net.Socket, event: "connect" | "secureConnect"): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (act: () => void): void => {
      socket.off(event, onEvent).off("error", onError).off("close", onClose);
      act();
    };
    const onEvent = (): void => settle(resolve);
    const onError = (error: Error): void => settle(() => reject(error));
    const onClose = (): void =>
      settle(() => reject(new Fault("tunnel.unreachable", `the connection was closed before "${event}"`)));
    socket.on(event, onEvent).on("error", onError).on("close", onClose);
  });
}

function factsOf(socket: tls.TLSSocket): StreamFacts {
  const group: unknown = socket.getEphemeralKeyInfo();
  const named = typeof group === "object" && group !== null && "name" in group && typeof group.name === "string";
  const { raw, subject } = socket.getPeerCertificate();
  const { CN } = subject;
  return {
    fingerprint: `sha256:${createHash("sha256").update(raw).digest("hex")}`,
    peer: printable(Array.isArray(CN) ? CN.join(",") : (CN ?? ""), PEER_CHARACTERS_MAX),
    protocol: socket.getProtocol() ?? "",
    cipher: socket.getCipher().name,
    group: named && typeof group.name === "string" ? group.name : "",
  };
}
