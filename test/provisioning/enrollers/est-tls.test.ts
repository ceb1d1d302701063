import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { connect, createServer, type Socket } from "node:net";
import { test } from "tap";
import { createEstEnroller } from "../../../provisioning/enrollers/index.ts";
import { addressOf, serveHttps } from "../../lab/counterparts/est-server.ts";
import { needs } from "../../lab/runner/needs.ts";
import { issue, makePki, type Pki } from "../../lab/counterparts/pki.ts";

const skip = needs("openssl");
const REQUEST = Buffer.from("3000", "hex");

test("[ID-7] a hub with a wrong certificate gets not one byte of HTTP, and the reason is reported", { skip }, async (t) => {
  const directory = t.testdir();
  const pki = makePki(directory);
  const intermediate = issue(directory, "intermediate", pki.attacker, {
    commonName: "Between",
    authority: true,
    usages: [],
    names: [],
  });
  const wrong: readonly [string, Pki["server"], string][] = [
    ["another authority of the same name", pki.attackerServer, "tls.hub-untrusted"],
    ["itself", pki.selfSigned, "tls.hub-untrusted"],
    [
      "an authority below an attacker's",
      issue(directory, "below", intermediate, { commonName: "localhost" }),
      "tls.hub-untrusted",
    ],
    ["a client's purpose", pki.clientAuthOnly, "tls.hub-untrusted"],
    ["another name", pki.wrongName, "tls.hub-name"],
    ["the past", pki.expired, "tls.hub-dates"],
    ["the future", pki.notYetValid, "tls.hub-dates"],
  ];
  for (const [says, credential, code] of wrong) {
    const server = await serveHttps(credential, pki.authority, (_asked, response) => response.writeHead(500).end());
    await t.rejects(createEstEnroller({ hub: server.hub(pki.authority) }).enrol(REQUEST), { code }, `certificate of ${says}`);
    t.equal(server.asked.length, 0);
    await server.close();
  }
});

test("[ID-7] TLS 1.2 is refused unless the configuration allows it; X25519MLKEM768 is offered first", { skip }, async (t) => {
  const pki = makePki(t.testdir());
  const server = await serveHttps(pki.server, pki.authority, (_asked, response) => response.writeHead(403).end(), {
    maxVersion: "TLSv1.2",
  });
  t.teardown(() => server.close());
  const hub = server.hub(pki.authority);
  await t.rejects(createEstEnroller({ hub }).enrol(REQUEST), { code: "enrol.unreachable" });
  await t.rejects(createEstEnroller({ hub: { ...hub, minTls: "TLSv1.2" } }).enrol(REQUEST), { code: "enrol.denied" });

  const hybridOnly = await serveHttps(pki.server, pki.authority, (_asked, response) => response.writeHead(403).end(), {
    ecdhCurve: "X25519MLKEM768",
  });
  t.teardown(() => hybridOnly.close());
  await t.rejects(createEstEnroller({ hub: hybridOnly.hub(pki.authority) }).enrol(REQUEST), { code: "enrol.denied" });
});

test("[ID-7] an address instead of a name is checked against the certificate's addresses", { skip }, async (t) => {
  const directory = t.testdir();
  const pki = makePki(directory);
  const nameOnly = issue(directory, "name-only", pki.authority, { commonName: "127.0.0.1", names: ["DNS:localhost"] });
  for (const [credential, code] of [
    [pki.server, "enrol.denied"],
    [nameOnly, "tls.hub-name"],
  ] as const) {
    const server = await serveHttps(credential, pki.authority, (_asked, response) => response.writeHead(403).end());
    const hub = { host: "127.0.0.1", port: server.port, authority: pki.authority.cert };
    await t.rejects(createEstEnroller({ hub }).enrol(REQUEST), { code });
    await server.close();
  }
});

test("[ID-7] no listener, a peer that hangs up, a silent peer, and a peer without TLS", { skip }, async (t) => {
  const pki = makePki(t.testdir());
  const peers: readonly [string, (socket: Socket) => void, string][] = [
    ["hangs up", (socket) => socket.destroy(), "enrol.unreachable"],
    ["is silent", () => undefined, "enrol.timeout"],
    ["speaks no TLS", (socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"), "enrol.unreachable"],
  ];
  for (const [says, behave, code] of peers) {
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on("error", () => undefined);
      behave(socket);
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = addressOf(server.address());
    const hub = { host: "localhost", port, authority: pki.authority.cert, connectTo: { host: "127.0.0.1", port } };
    await t.rejects(
      createEstEnroller({ hub, timeoutMs: code === "enrol.timeout" ? 400 : undefined }).enrol(REQUEST),
      { code },
      says,
    );
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, "close");
    await t.rejects(createEstEnroller({ hub }).enrol(REQUEST), { code: "enrol.unreachable" }, "nothing listens");
  }
});

test("[ID-7] through an HTTP CONNECT proxy TLS is still with the hub itself", { skip }, async (t) => {
  const pki = makePki(t.testdir());
  const server = await serveHttps(pki.server, pki.authority, (_asked, response) => response.writeHead(403).end());
  t.teardown(() => server.close());
  const paths: (string | undefined)[] = [];
  const proxy = createHttpServer().on("connect", (request, client) => {
    paths.push(request.url);
    if (paths.length > 1) return void client.end("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
    const upstream = connect(server.port, "127.0.0.1", () => {
      client.write("HTTP/1.1 200 Connection established\r\n\r\n");
      upstream.pipe(client).pipe(upstream);
    });
    upstream.on("error", () => client.destroy());
    client.on("error", () => upstream.destroy());
  });
  proxy.listen(0, "127.0.0.1");
  await once(proxy, "listening");
  t.teardown(() => proxy.close());
  const { port } = addressOf(proxy.address());
  const hub = { host: "localhost", port: 443, authority: pki.authority.cert, proxy: { host: "127.0.0.1", port } };
  await t.rejects(createEstEnroller({ hub }).enrol(REQUEST), { code: "enrol.denied" });
  t.equal(server.asked.length, 1);
  await t.rejects(createEstEnroller({ hub }).enrol(REQUEST), {
    code: "enrol.unreachable",
    message: /proxy 127.* answered .*407/,
  });
  t.same(paths, ["localhost:443", "localhost:443"]);
});

test("[ID-7] an attempt that was cancelled before it began is refused, and leaves no unhandled error", { skip }, async (t) => {
  const pki = makePki(t.testdir());
  const server = await serveHttps(pki.server, pki.authority, (_asked, response) => response.writeHead(500).end());
  t.teardown(() => server.close());
  const hub = server.hub(pki.authority);
  const proxy = { host: "127.0.0.1", port: server.port };
  for (const way of [hub, { ...hub, proxy }])
    await t.rejects(createEstEnroller({ hub: way, signal: AbortSignal.abort() }).enrol(REQUEST), {
      code: "enrol.unreachable",
      message: /cancelled/u,
    });
  // an error event comes in the next turn, and nothing awaits it
  await new Promise((resolve) => setImmediate(resolve));
  t.same(server.asked, []);
});
