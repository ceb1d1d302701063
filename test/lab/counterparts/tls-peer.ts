// A TLS server that is a hub in all but what it says: each test tells it how to misbehave.
import net from "node:net";
import tls from "node:tls";
import { assert } from "../../../hal/fault.ts";
import type { Credential } from "./pki.ts";

export interface Peer {
  readonly port: number;
  /** Connections that finished their handshake. */
  readonly sockets: readonly tls.TLSSocket[];
}

export interface PeerOptions extends tls.TlsOptions {
  readonly server: Credential;
  readonly authority: Credential;
  readonly onSecure: (socket: tls.TLSSocket) => void;
}

/** Asks for a certificate without rejecting, as our hub does. Ends with the test. */
export async function startPeer(options: PeerOptions, teardown: (act: () => Promise<void>) => void): Promise<Peer> {
  const { server: credential, authority, onSecure, ...rest } = options;
  const sockets: tls.TLSSocket[] = [];
  const server = tls.createServer({
    cert: credential.cert,
    key: credential.key,
    ca: authority.cert,
    requestCert: true,
    rejectUnauthorized: false,
    ...rest,
  });
  server.on("secureConnection", (socket) => {
    socket.on("error", () => socket.destroy());
    sockets.push(socket);
    onSecure(socket);
  });
  server.on("tlsClientError", () => undefined);
  return { port: await listen(server, teardown), sockets };
}

/** A server that takes TCP connections and does what `onConnection` says. */
export async function startTcpPeer(
  onConnection: (socket: net.Socket) => void,
  teardown: (act: () => Promise<void>) => void,
): Promise<number> {
  return listen(net.createServer(onConnection), teardown);
}

async function listen(server: net.Server, teardown: (act: () => Promise<void>) => void): Promise<number> {
  const open = new Set<net.Socket>();
  server.on("connection", (socket: net.Socket) => {
    open.add(socket);
    socket.on("error", () => socket.destroy()).on("close", () => open.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  teardown(async () => {
    for (const socket of open) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  const address = server.address();
  assert(typeof address === "object" && address !== null, "a listening server has an address");
  return address.port;
}
