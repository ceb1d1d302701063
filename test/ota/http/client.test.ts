// The repository client against a real server, and against malicious ones.
import { mkdir, writeFile } from "node:fs/promises";
import { createServer, type ServerOptions } from "node:https";
import type { RequestListener } from "node:http";
import { once } from "node:events";
import { join } from "node:path";
import { createSecureContext } from "node:tls";
import { test } from "tap";
import { type HttpRepository, createHttpRepository } from "../../../ota/http/index.ts";
import { SOCKETS_MAX } from "../../../ota/http/client.ts";
import { makePki, type Credential } from "../../lab/counterparts/pki.ts";
import { startProxy } from "../../lab/counterparts/proxy.ts";
import { needs } from "../../lab/runner/needs.ts";
import { clientOf, portOf, serveRepository } from "../../lab/counterparts/static-repository.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";
import type { TestContext } from "../../lab/runner/context.ts";

async function listen(
  t: TestContext,
  server: Credential,
  listener: RequestListener,
  options: ServerOptions = {},
): Promise<number> {
  const https = createServer({ key: server.key, cert: server.cert, ...options }, listener).listen(0, "127.0.0.1");
  await once(https, "listening");
  t.teardown(async () => {
    https.closeAllConnections();
    await new Promise((resolve) => https.close(resolve));
  });
  return portOf(https.address());
}

test("[OTA-37] files arrive whole over few connections; a missing file is no fault", { skip: needs("openssl") }, async (t) => {
  const directory = await temporaryDirectory(t);
  const pki = makePki(directory);
  await mkdir(join(directory, "repository/store"), { recursive: true });
  await writeFile(join(directory, "repository/store/a"), Buffer.alloc(300_000, "a"));
  const client = clientOf(t, pki, await serveRepository(t, join(directory, "repository"), pki.server));
  const all = await Promise.all(Array.from({ length: 20 }, () => client.get("store/a", 300_000)));
  t.ok(all.every((bytes) => bytes?.byteLength === 300_000));
  t.equal(await client.get("store/b", 10), undefined);
  await t.rejects(client.get("store/a", 299_999), { code: "fetch.too-large" });
});

test(
  "connections are kept from file to file, because each new one costs a signature of the TPM",
  { skip: needs("openssl") },
  async (t) => {
    const pki = makePki(await temporaryDirectory(t));
    const connections = new Set<unknown>();
    const port = await listen(t, pki.server, ({ socket }, response) => {
      connections.add(socket);
      response.end("aaa");
    });
    const client = clientOf(t, pki, port);
    for (let round = 0; round < 5; round += 1) t.same(await client.get("a", 10), Buffer.from("aaa"));
    t.equal(connections.size, 1);
    await Promise.all(Array.from({ length: 60 }, () => client.get("a", 10)));
    t.ok(connections.size <= SOCKETS_MAX, `${connections.size} connections`);
  },
);

test(
  "when a kept connection is dropped as it is used again, the file is requested once more on another one",
  { skip: needs("openssl") },
  async (t) => {
    const pki = makePki(await temporaryDirectory(t));
    const used = new Map<unknown, number>();
    let dropped = 0;
    const port = await listen(t, pki.server, ({ socket, url }, response) => {
      const requests = (used.get(socket) ?? 0) + 1;
      used.set(socket, requests);
      if (requests === 1 && url !== "/repository/never") return void response.end("aaa");
      dropped += 1;
      // without an answer, as after a server's idle timeout, or a NAT that forgot the connection
      socket.destroy();
    });
    const client = clientOf(t, pki, port);
    for (let round = 0; round < 6; round += 1) t.same(await client.get("a", 10), Buffer.from("aaa"));
    t.equal(dropped, 3, "each second one");
    const all = await Promise.all(Array.from({ length: 4 * SOCKETS_MAX }, () => client.get("a", 10)));
    t.ok(all.every((bytes) => bytes?.byteLength === 3));
    const before = dropped;
    await t.rejects(clientOf(t, pki, port).get("never", 10), { code: "fetch.unreachable" });
    t.equal(dropped, before + 1, "on a new connection it is not requested again");
    const reused = clientOf(t, pki, port);
    await reused.get("a", 10);
    await t.rejects(reused.get("never", 10), { code: "fetch.unreachable" });
    t.equal(dropped, before + 3, "on a kept connection it is requested once more");
  },
);

test(
  "[TUN-12] [OTA-37] through an HTTP CONNECT proxy files come over TLS that ends at the server, and the server's name is still checked",
  { skip: needs("openssl") },
  async (t) => {
    const directory = await temporaryDirectory(t);
    const pki = makePki(directory);
    await mkdir(join(directory, "repository"));
    await writeFile(join(directory, "repository/a"), "aaa");
    const proxy = await startProxy(t);
    const port = await serveRepository(t, join(directory, "repository"), pki.server);
    t.same(await clientOf(t, pki, port, undefined, proxy.port).get("a", 10), Buffer.from("aaa"));
    t.same(proxy.asked, [`127.0.0.1:${port}`]);
    t.equal(proxy.firstBytes[0]?.[0], 0x16, "a TLS handshake, not a request");
    const other = await serveRepository(t, join(directory, "repository"), pki.wrongName);
    await t.rejects(clientOf(t, pki, other, undefined, proxy.port).get("a", 10), { code: "tls.hub-name" });
    const untrusted = await serveRepository(t, join(directory, "repository"), pki.attackerServer);
    await t.rejects(clientOf(t, pki, untrusted, undefined, proxy.port).get("a", 10), { code: "tls.hub-untrusted" });
    proxy.cut();
    await t.rejects(
      clientOf(t, pki, port, undefined, 9).get("a", 10),
      { code: "fetch.unreachable" },
      "no connection went past the proxy",
    );
  },
);

test(
  "[OTA-37] another name, another authority, other dates or another purpose end the connection before a request",
  { skip: needs("openssl") },
  async (t) => {
    const pki = makePki(await temporaryDirectory(t));
    let requests = 0;
    for (const [credential, code] of [
      [pki.wrongName, "tls.hub-name"],
      [pki.attackerServer, "tls.hub-untrusted"],
      [pki.selfSigned, "tls.hub-untrusted"],
      [pki.expired, "tls.hub-dates"],
      [pki.notYetValid, "tls.hub-dates"],
      [pki.clientAuthOnly, "tls.hub-untrusted"],
    ] as const) {
      const port = await listen(t, credential, (_request, response) => {
        requests += 1;
        response.end("x");
      });
      await t.rejects(clientOf(t, pki, port).get("a", 10), { code }, credential.certFile);
    }
    t.equal(requests, 0);
  },
);

test(
  "[OTA-37] a host known only by its address must prove that address, wherever the connection goes",
  { skip: needs("openssl") },
  async (t) => {
    const pki = makePki(await temporaryDirectory(t));
    let requests = 0;
    const port = await listen(t, pki.server, (_request, response) => {
      requests += 1;
      response.end("x");
    });
    const at = (host: string): HttpRepository => {
      const client = createHttpRepository({
        host,
        port,
        connectTo: { host: "127.0.0.1", port }, // an address that is in the certificate
        context: createSecureContext({ ca: pki.authority.cert }),
        prefix: "/repository",
      });
      t.teardown(() => client.close());
      return client;
    };
    await t.rejects(at("192.0.2.1").get("a", 10), { code: "tls.hub-name" });
    t.equal(requests, 0);
    t.same(await at("127.0.0.1").get("a", 10), Buffer.from("x"));
  },
);

test(
  "[OTA-37] redirects, refusals, endless bodies, false lengths and silence: each has its own fault, in time",
  { skip: needs("openssl") },
  async (t) => {
    const pki = makePki(await temporaryDirectory(t));
    const port = await listen(t, pki.server, (request, response) => {
      switch (request.url) {
        case "/repository/redirect":
          return void response.writeHead(302, { location: "/repository/other" }).end();
        case "/repository/error":
          return void response.writeHead(503).end("busy");
        case "/repository/endless": {
          const more = (): void => {
            while (!response.destroyed && response.write(Buffer.alloc(16_384))) continue;
          };
          response.on("drain", more);
          return more();
        }
        case "/repository/says-more":
          response.writeHead(200, { "content-length": "1000000000000" });
          return void response.write("x");
        case "/repository/cut":
          response.writeHead(200, { "content-length": "100" });
          response.write("short", () => response.destroy());
          return;
        case "/repository/garbage":
          return void request.socket.end("SSH-2.0-x\r\n");
        case "/repository/partial":
          return void response.writeHead(206).end("x");
        default: // silence
      }
    });
    const client = clientOf(t, pki, port, { idleMs: 400, windowMs: 60_000, windowBytesMin: 0 });
    for (const [path, code] of [
      ["redirect", "fetch.refused"],
      ["error", "fetch.refused"],
      ["partial", "fetch.refused"],
      ["endless", "fetch.too-large"],
      ["says-more", "fetch.too-large"],
      ["cut", "fetch.unreachable"],
      ["garbage", "fetch.bad-response"],
      ["silence", "fetch.timeout"],
    ] as const)
      await t.rejects(client.get(path, 1000), { code }, path);
  },
);

test("[OTA-37] a cancelled request ends at once; a closed port is reported", { skip: needs("openssl") }, async (t) => {
  const pki = makePki(await temporaryDirectory(t));
  const port = await listen(t, pki.server, () => undefined);
  const client = clientOf(t, pki, port);
  const stop = new AbortController();
  const pending = client.get("silence", 10, stop.signal);
  setTimeout(() => stop.abort(), 20);
  await t.rejects(pending, { code: "update.aborted" });
  await t.rejects(client.get("silence", 10, stop.signal), { code: "update.aborted" });
  await t.rejects(clientOf(t, pki, 1).get("a", 10), { code: "fetch.unreachable" });
});
