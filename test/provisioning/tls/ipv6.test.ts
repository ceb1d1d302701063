import { X509Certificate } from "node:crypto";
import { createServer } from "node:https";
import { test, type Test } from "tap";
import { openStream } from "../../../agent/tunnel/stream.ts";
import { createIssuer, makeAuthority as makeHubAuthority } from "../../../hub/authority/issuer.ts";
import { initHub } from "../../../hub/authority/index.ts";
import { createHttpRepository } from "../../../ota/http/index.ts";
import { HUB_TIME_BYTES_MAX, HUB_TIME_PATH, hubTimeResponseSchema } from "../../../ota/format/time.ts";
import { askHubTime, createEstEnroller, postToHub } from "../../../provisioning/enrollers/index.ts";
import { secureContextFor } from "../../../provisioning/tls/index.ts";
import { encodeCertsOnly } from "../../../provisioning/x509/format/index.ts";
import { addressOf } from "../../lab/counterparts/est-server.ts";
import { type Credential, issue, makeAuthority, openssl } from "../../lab/counterparts/pki.ts";
import { needs } from "../../lab/runner/needs.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";
import { labHub } from "../../lab/worlds/hub.ts";

const skip = needs("openssl", "ipv6");
const NONCE = "ab".repeat(32);
const TIME = { deviceId: "gw-1", nonce: NONCE, time: "2026-11-22T04:00:00.000Z", signature: `${"A".repeat(86)}==` };

/** A hub at `[::1]` that records the server names and the Host headers that it is asked by. */
async function serveOnIpv6(t: Test, { cert, key }: Credential, authority: Credential) {
  const [names, hosts]: [string[], (string | undefined)[]] = [[], []];
  const server = createServer({
    cert,
    key,
    SNICallback: (name, done) => {
      names.push(name);
      done(null);
    },
  });
  server.on("request", (request, response) => {
    hosts.push(request.headers.host);
    if (request.url === HUB_TIME_PATH) return void response.end(JSON.stringify(TIME));
    if (request.url?.endsWith("cacerts") === true)
      return void response.end(Buffer.from(encodeCertsOnly([new X509Certificate(authority.cert).raw])).toString("base64"));
    if (request.url === "/files/moved") return void response.end("a file");
    response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "::1", resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = addressOf(server.address());
  return { port, names, hosts, hub: { host: "::1", port, authority: authority.cert } };
}

test(
  "[TUN-63] a hub at an IPv6 literal: its address in the certificate counts, and no server name is sent",
  { skip },
  async (t) => {
    const directory = t.testdir();
    const authority = makeAuthority(directory, "authority");
    const server = await serveOnIpv6(
      t,
      issue(directory, "server", authority, { commonName: "hub", names: ["IP:::1", "DNS:hub.example"] }),
      authority,
    );
    const { hub, port } = server;
    const question = { path: HUB_TIME_PATH, body: "{}", answer: hubTimeResponseSchema, bytesMax: HUB_TIME_BYTES_MAX };
    for (const dates of ["strict", "waived"] as const) t.same(await askHubTime(hub, dates, question), TIME);
    const { cert: certificate, key } = issue(directory, "client", authority, {
      commonName: "gw-1",
      names: [],
      usages: ["clientAuth"],
    });
    t.same(await postToHub(hub, { certificate, key }, question), TIME);
    await createEstEnroller({ hub }).prepare();
    const context = secureContextFor(hub, undefined);
    const repository = createHttpRepository({ host: "::1", port, context, prefix: "/files" });
    t.teardown(() => repository.close());
    t.equal(Buffer.from((await repository.get("moved", 100)) ?? []).toString(), "a file");
    const stream = await openStream({
      host: "::1",
      address: { host: "::1", port },
      proxy: undefined,
      alpn: undefined,
      context,
      authority: authority.cert,
      timeoutMs: 60_000,
      signal: new AbortController().signal,
    });
    stream.socket.destroy();
    t.same(server.names, [], "RFC 6066 section 3: no addresses in SNI");
    t.same([...new Set(server.hosts)], [`[::1]:${port}`]);

    const other = await serveOnIpv6(
      t,
      issue(directory, "other", authority, { commonName: "::1", names: ["IP:::2", "DNS:x"] }),
      authority,
    );
    for (const dates of ["strict", "waived"] as const) {
      const refused = { code: "tls.hub-name", message: dates === "strict" ? "::1" : `[::1]:${other.port}` };
      await t.rejects(askHubTime(other.hub, dates, question), refused);
    }
  },
);

test("[TUN-63] our hub issues its certificate for IPv6 addresses", { skip: needs("openssl") }, async (t) => {
  const made = createIssuer("hub", makeHubAuthority("hub", Date.now())).issueServer(
    ["2001:db8::1", "::1", "1:2:3:4:5:6:7:8", "fe80::", "192.0.2.1", "hub.example"],
    Date.now(),
  );
  const text = openssl(["x509", "-noout", "-ext", "subjectAltName"], made.certificatePem).toString();
  for (const name of [
    "2001:DB8:0:0:0:0:0:1",
    "IP Address:0:0:0:0:0:0:0:1",
    "IP Address:1:2:3:4:5:6:7:8",
    "FE80:0:0:0:0:0:0:0",
    "IP Address:192.0.2.1",
    "DNS:hub.example",
  ])
    t.match(text, name);
  const leaf = new X509Certificate(made.certificatePem);
  t.equal(leaf.checkIP("2001:db8::1"), "2001:db8::1");
});

test("[TUN-63] our hub at an IPv6 literal: made, served, enrolled at", { skip }, async (t) => {
  const state = await temporaryDirectory(t);
  await initHub({ state, name: "lab hub", hosts: ["0:0::1"] });
  const { hub } = await labHub(t, { state, listen: "::1" });
  const { host, authority } = hub.anchors;
  t.equal(host, "::1");
  await createEstEnroller({ hub: { host, port: hub.estPort, authority } }).prepare();
  const question = {
    path: HUB_TIME_PATH,
    body: JSON.stringify({ deviceId: "gw-1", nonce: NONCE }),
    bytesMax: HUB_TIME_BYTES_MAX,
  };
  const time = await askHubTime({ host, port: hub.estPort, authority }, "waived", { ...question, answer: hubTimeResponseSchema });
  t.match(time, { deviceId: "gw-1", nonce: NONCE });
});
