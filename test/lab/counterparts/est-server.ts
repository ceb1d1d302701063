// An HTTPS server whose answers the test decides, in the hub's place.
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type ServerOptions } from "node:https";
import type { AddressInfo } from "node:net";
import type { TLSSocket } from "node:tls";
import { Fault } from "../../../hal/fault.ts";
import type { HubServer } from "../../../provisioning/tls/index.ts";
import type { Credential } from "./pki.ts";

export interface ReceivedRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
  /** CN of the client's certificate when it showed one. */
  readonly client: string | undefined;
  readonly protocol: string | null;
  readonly socket: TLSSocket;
}

export interface EstServer {
  readonly port: number;
  /** The requests, oldest first. */
  readonly asked: readonly ReceivedRequest[];
  /** @returns the server as the device sees it: by the name `localhost`, pinned to `authority`. */
  hub(authority: Credential): HubServer;
  close(): Promise<void>;
}

/**
 * Listens on 127.0.0.1. Like the hub, it asks for client certificates of `clients` and refuses none
 * in TLS.
 */
export async function serveHttps(
  server: Credential,
  clients: Credential,
  answer: (asked: ReceivedRequest, response: ServerResponse) => void,
  { listenPort = 0, ...options }: ServerOptions & { readonly listenPort?: number } = {},
): Promise<EstServer> {
  const asked: ReceivedRequest[] = [];
  const https = createServer({
    cert: server.cert,
    key: server.key,
    ca: clients.cert,
    requestCert: true,
    rejectUnauthorized: false,
    ...options,
  });
  https.on("request", (request: IncomingMessage & { readonly socket: TLSSocket }, response: ServerResponse) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const commonName = request.socket.getPeerX509Certificate()?.subject.replace("CN=", "");
      const one: ReceivedRequest = {
        method: request.method ?? "",
        path: request.url ?? "",
        headers: request.headers,
        body: Buffer.concat(chunks).toString("latin1"),
        client: commonName,
        protocol: request.socket.getProtocol(),
        socket: request.socket,
      };
      asked.push(one);
      answer(one, response);
    });
  });
  https.listen(listenPort, "127.0.0.1");
  await once(https, "listening");
  const { port } = addressOf(https.address());
  return {
    port,
    asked,
    hub: (authority) => ({ host: "localhost", port, authority: authority.cert, connectTo: { host: "127.0.0.1", port } }),
    async close() {
      https.closeAllConnections();
      https.close();
      await once(https, "close");
    },
  };
}

export function addressOf(address: AddressInfo | string | null): AddressInfo {
  if (address === null || typeof address === "string")
    throw new Fault("assert.broken", "a test server does not listen on a port");
  return address;
}
