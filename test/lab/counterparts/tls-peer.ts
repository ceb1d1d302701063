// A TLS server in the hub's place that misbehaves as each test says.
import net from "node:net";
import tls from "node:tls";
import { assert } from "../../../hal/fault.ts";
import type { Credential } from "./pki.ts";
import type { TestContext } from "../runner/context.ts";

export interface Peer {
  readonly port: number;
  /** The connections that finished their handshake. */
  readonly sockets: readonly tls.TLSSocket[];
}

export interface PeerOptions extends tls.TlsOptions {
  readonly server: Credential;
  readonly authority: Credential;
  readonly onSecure: (socket: tls.TLSSocket) => void;
}

/** Like the hub, it asks for a certificate and refuses none in TLS. Ends with the test. */
export async function startPeer(t: TestContext, options: PeerOptions): Promise<Peer> {
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
  return { port: await listen(t, server), sockets };
}

/** A server that takes TCP connections and passes them to `onConnection`. */
export async function startTcpPeer(t: TestContext, onConnection: (socket: net.Socket) => void): Promise<number> {
  return listen(t, net.createServer(onConnection));
}

async function listen(t: TestContext, server: net.Server): Promise<number> {
  const open = new Set<net.Socket>();
  server.on("connection", (socket: net.Socket) => {
    open.add(socket);
    socket.on("error", () => socket.destroy()).on("close", () => open.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.teardown(async () => {
    for (const socket of open) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  const address = server.address();
  assert(typeof address === "object" && address !== null, "a listening server has an address");
  return address.port;
}
