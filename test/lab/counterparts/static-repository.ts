// The hub's repository on a port of its own, over HTTPS, and a client for it.
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { createSecureContext } from "node:tls";
import fastify from "fastify";
import { assert } from "../../../hal/fault.ts";
import { repositoryRoutes } from "../../../hub/repository/index.ts";
import { type HttpRepository, createHttpRepository } from "../../../ota/http/index.ts";
import type { LinePace } from "../../../ota/http/line.ts";
import type { TestContext } from "../runner/context.ts";
import type { Credential, Pki } from "./pki.ts";
import { HANG_MS } from "../runner/process.ts";

export async function serveRepository(t: TestContext, directory: string, server: Credential): Promise<number> {
  const https = createServer({ key: server.key, cert: server.cert });
  const app = fastify({ forceCloseConnections: true, serverFactory: (handler) => https.on("request", handler) });
  repositoryRoutes(app, { directory, prefix: "/repository" });
  await app.listen({ host: "127.0.0.1", port: 0 });
  t.teardown(() => app.close());
  return portOf(https.address());
}

export function portOf(address: AddressInfo | string | null): number {
  assert(typeof address === "object" && address !== null, "a server that listens has an address");
  return address.port;
}

/** The client connects to 127.0.0.1 and expects the name `localhost`. */
export function clientOf(t: TestContext, pki: Pki, port: number, pace?: LinePace, proxyPort?: number): HttpRepository {
  const client = createHttpRepository({
    host: "localhost",
    port,
    connectTo: { host: "127.0.0.1", port },
    context: createSecureContext({ ca: pki.authority.cert, cert: pki.client.cert, key: pki.client.key, minVersion: "TLSv1.3" }),
    prefix: "/repository",
    pace: pace ?? { idleMs: HANG_MS, windowMs: HANG_MS, windowBytesMin: 0 },
    ...(proxyPort !== undefined && { proxy: { host: "127.0.0.1", port: proxyPort } }),
  });
  t.teardown(() => client.close());
  return client;
}
