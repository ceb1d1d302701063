import { X509Certificate } from "node:crypto";
import type { ServerResponse } from "node:http";
import { test } from "tap";
import { createEstEnroller, type EnrolAnswer } from "../../../provisioning/enrollers/index.ts";
import { buildRequest, decodeCertsOnly, encodeCertsOnly, parseRequest } from "../../../provisioning/x509/format/index.ts";
import { serveHttps } from "../../lab/counterparts/est-server.ts";
import { memoryKey } from "../../lab/fakes/keys.ts";
import { needs } from "../../lab/runner/needs.ts";
import { issueFor, makePki, openssl, type Pki } from "../../lab/counterparts/pki.ts";

const skip = needs("openssl");

async function requestOf(commonName: string): Promise<Uint8Array> {
  const key = memoryKey();
  return buildRequest({ commonName, serialNumber: undefined, uris: [], publicKey: key.publicKey, auditKey: undefined }, key.sign);
}

/** SEQUENCE { challengePassword } */
const CHALLENGE = Buffer.from("300b06092a864886f70d010907", "hex");

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
const wrapped = (bytes: Uint8Array): string => base64(bytes).replaceAll(/(.{76})/g, "$1\r\n");
const raw = (pem: string): Buffer => new X509Certificate(pem).raw;

test("[ID-7] a certificate is requested and issued over EST", { skip }, async (t) => {
  const directory = t.testdir();
  const pki = makePki(directory);
  const server = await serveHttps(pki.server, pki.authority, (asked, response) => {
    const request = Buffer.from(asked.body, "base64");
    const cert = issueFor(directory, "issued", pki.authority, request, { commonName: "", usages: ["clientAuth"], names: [] });
    response.writeHead(200, { "content-type": "application/pkcs7-mime" }).end(wrapped(encodeCertsOnly([raw(cert)])));
  });
  t.teardown(() => server.close());
  const request = await requestOf("gw-1");
  const answer = await createEstEnroller({ hub: server.hub(pki.authority) }).enrol(request);
  t.equal(answer.kind, "issued");
  if (answer.kind === "issued") t.match(new X509Certificate(answer.certificates[0] ?? "").subject, "CN=gw-1");

  const [asked] = server.asked;
  t.match(asked, { method: "POST", path: "/.well-known/est/simpleenroll", client: undefined });
  t.match(asked?.headers, {
    "content-type": "application/pkcs10",
    "content-transfer-encoding": "base64",
    host: `localhost:${server.port}`,
  });
  t.same(
    openssl(["base64", "-d"], Buffer.from(asked?.body ?? "")),
    Buffer.from(request),
    "base64 of DER, no PEM armour, in lines that OpenSSL's decoder reads",
  );
  t.equal(asked?.protocol, "TLSv1.3");
});

test("[ID-9] renewal sends the current certificate, and the label is part of the path", { skip }, async (t) => {
  const pki = makePki(t.testdir());
  const server = await serveHttps(pki.server, pki.authority, (_asked, response) =>
    response.writeHead(202, { "retry-after": "7" }).end(),
  );
  t.teardown(() => server.close());
  const enroller = createEstEnroller({ hub: server.hub(pki.authority), label: "gateways" });
  const answer = await enroller.renew(await requestOf("gw-1"), { certificate: pki.client.cert, key: pki.client.key });
  t.same(answer, { kind: "later", code: "enrol.pending", retryAfterMs: 7000 });
  t.match(server.asked[0], { path: "/.well-known/est/gateways/simplereenroll", client: "gw-1" });
});

test("[ID-7] every form in which servers in the field send certificates is read", { skip }, async (t) => {
  const directory = t.testdir();
  const pki = makePki(directory);
  const der = raw(pki.client.cert);
  const cms = openssl(["crl2pkcs7", "-nocrl", "-certfile", pki.client.certFile, "-outform", "DER"]);
  const armoured = openssl(["crl2pkcs7", "-nocrl", "-certfile", pki.client.certFile]);
  const bodies: Record<string, string | Buffer> = {
    "base64 CMS": base64(cms),
    "wrapped base64 CMS": `\r\n${wrapped(cms)}\r\n\r\n`,
    "DER CMS": cms,
    "PEM CMS": armoured,
    "DER certificate": der,
    "base64 certificate": base64(der),
    "base64 behind a byte order mark": `\ufeff${base64(cms)}`,
    "PEM behind a byte order mark": `\ufeff${pki.client.cert}`,
    "DER behind a byte order mark": Buffer.concat([Buffer.from("\ufeff"), der]),
    "PEM certificate": `Bag of words\n${pki.client.cert}`,
  };
  const server = await serveHttps(pki.server, pki.authority, (_asked, response) => {
    response.end(Object.values(bodies)[server.asked.length - 1]);
  });
  t.teardown(() => server.close());
  const enroller = createEstEnroller({ hub: server.hub(pki.authority) });
  for (const name of Object.keys(bodies)) {
    const answer = await enroller.enrol(await requestOf("gw-1"));
    t.same(answer.kind === "issued" && answer.certificates.map((one) => Buffer.from(one)), [der], name);
  }
});

interface Case {
  readonly says: string;
  readonly status: number;
  readonly headers?: Record<string, string>;
  readonly body?: string | Buffer;
  readonly gives: EnrolAnswer | { readonly code: string; readonly message?: RegExp };
}

const pending = (retryAfterMs: number): EnrolAnswer => ({ kind: "later", code: "enrol.pending", retryAfterMs });

const CASES: readonly Case[] = [
  { says: "202 with seconds", status: 202, headers: { "retry-after": "60" }, gives: pending(60_000) },
  { says: "202 with no time", status: 202, gives: pending(60_000) },
  { says: "202 with a time of nothing", status: 202, headers: { "retry-after": "0" }, gives: pending(60_000) },
  { says: "202 with a moment", status: 202, headers: { "retry-after": "1" }, gives: pending(1000) },
  { says: "202 with a time of millennia", status: 202, headers: { "retry-after": "9".repeat(400) }, gives: pending(3_600_000) },
  {
    says: "202 with a time before now, which Date.parse takes for a month",
    status: 202,
    headers: { "retry-after": "-5", date: "Thu, 01 Jan 2026 00:02:00 GMT" },
    gives: pending(60_000),
  },
  { says: "202 with a time of years", status: 202, headers: { "retry-after": "999999999" }, gives: pending(3_600_000) },
  { says: "202 with words for a time", status: 202, headers: { "retry-after": "soon" }, gives: pending(60_000) },
  {
    says: "202 with a date, on a device whose clock does not matter",
    status: 202,
    headers: { "retry-after": "Thu, 01 Jan 2099 00:02:00 GMT", date: "Thu, 01 Jan 2099 00:00:00 GMT" },
    gives: pending(120_000),
  },
  {
    says: "503 with a time",
    status: 503,
    headers: { "retry-after": "30" },
    gives: { kind: "later", code: "enrol.server-error", retryAfterMs: 30_000 },
  },
  {
    says: "502 of a proxy with a date that has passed",
    status: 502,
    headers: { "retry-after": "Thu, 01 Jan 2026 00:00:00 GMT", date: "Thu, 01 Jan 2026 00:02:00 GMT" },
    gives: { kind: "later", code: "enrol.server-error", retryAfterMs: 60_000 },
  },
  {
    says: "503 with a time of nothing, over and over",
    status: 503,
    headers: { "retry-after": "0" },
    gives: { kind: "later", code: "enrol.server-error", retryAfterMs: 60_000 },
  },
  {
    says: "429 with the same",
    status: 429,
    headers: { "retry-after": "0" },
    gives: { kind: "later", code: "enrol.server-error", retryAfterMs: 60_000 },
  },
  { says: "503 without", status: 503, gives: { code: "enrol.server-error" } },
  {
    says: "500 with words",
    status: 500,
    body: 'disk "full"\u001b[2J\nmore',
    gives: { code: "enrol.server-error", message: /500, saying "disk 'full'\?\[2J"$/ },
  },
  { says: "401", status: 401, gives: { code: "enrol.unauthorized" } },
  {
    says: "403 [TUN-74] for a revoked key, in our hub's words",
    status: 403,
    body: 'hub.device-revoked: device "gw" with key x was revoked',
    gives: { code: "enrol.revoked", message: /was revoked/ },
  },
  { says: "403 with that word in other words", status: 403, body: "no: hub.device-revoked: x", gives: { code: "enrol.denied" } },
  { says: "403", status: 403, body: "device denied", gives: { code: "enrol.denied", message: /device denied/ } },
  { says: "400", status: 400, gives: { code: "enrol.refused" } },
  { says: "409", status: 409, gives: { code: "enrol.refused" } },
  { says: "a redirect", status: 302, headers: { location: "https://elsewhere.example/" }, gives: { code: "enrol.bad-response" } },
  { says: "200 with nothing", status: 200, gives: { code: "enrol.bad-response" } },
  {
    says: "200 with a web page",
    status: 200,
    body: "<html>Log in to the hotel's network</html>",
    gives: { code: "enrol.bad-response" },
  },
  { says: "200 with base64 of garbage", status: 200, body: base64(Buffer.alloc(300, 7)), gives: { code: "enrol.bad-response" } },
  {
    says: "200 with CMS of no certificate",
    status: 200,
    body: base64(encodeCertsOnly([])),
    gives: { code: "enrol.bad-response" },
  },
  { says: "200 without end", status: 200, body: Buffer.alloc(140_000, 65), gives: { code: "enrol.too-large" } },
];

test("[ID-7] each status of the authority has its own meaning", { skip }, async (t) => {
  const pki = makePki(t.testdir());
  let says: Case | undefined;
  const server = await serveHttps(pki.server, pki.authority, (_asked, response) => {
    response.writeHead(says?.status ?? 500, says?.headers).end(says?.body);
  });
  t.teardown(() => server.close());
  const enroller = createEstEnroller({ hub: server.hub(pki.authority) });
  const request = await requestOf("gw-1");
  for (const one of CASES) {
    says = one;
    if ("kind" in one.gives) t.same(await enroller.enrol(request), one.gives, one.says);
    else await t.rejects(enroller.enrol(request), one.gives, one.says);
  }
});

test("[ID-7] a server that is slow at any step, or breaks off, ends the attempt and never the program", { skip }, async (t) => {
  const pki = makePki(t.testdir());
  const steps: readonly ((response: ServerResponse) => void)[] = [
    () => undefined,
    (response) => void response.writeHead(200).write("MII"),
  ];
  const server = await serveHttps(pki.server, pki.authority, (asked, response) => {
    if (server.asked.length <= steps.length) return steps[server.asked.length - 1]?.(response);
    response.writeHead(200, { "content-length": "1000" }).write("MII", () => asked.socket.destroy());
  });
  t.teardown(() => server.close());
  const enroller = createEstEnroller({ hub: server.hub(pki.authority), timeoutMs: 1000 });
  const request = await requestOf("gw-1");
  await t.rejects(enroller.enrol(request), { code: "enrol.timeout" }, "no answer at all");
  await t.rejects(enroller.enrol(request), { code: "enrol.timeout" }, "an answer that stops");
  const patient = createEstEnroller({ hub: server.hub(pki.authority) });
  await t.rejects(patient.enrol(request), { code: "enrol.unreachable" }, "an answer that is cut");
});

test("[ID-7] the bytes of a hostile server are counted even when it never ends", { skip }, async (t) => {
  const pki = makePki(t.testdir());
  const server = await serveHttps(pki.server, pki.authority, (_asked, response) => {
    const more = (): void => void response.write(Buffer.alloc(65_536, 65), (error) => (error ? undefined : more()));
    more();
  });
  t.teardown(() => server.close());
  const enroller = createEstEnroller({ hub: server.hub(pki.authority) });
  await t.rejects(enroller.enrol(await requestOf("gw-1")), { code: "enrol.too-large" });
});

test("[ID-7] before the first request, the authority's own certificates must include the pinned one", { skip }, async (t) => {
  const pki = makePki(t.testdir());
  const answers = answersOf(pki);
  const server = await serveHttps(pki.server, pki.authority, (asked, response) => {
    const [cacerts, csrattrs] = answers[0] ?? [Buffer.alloc(0), undefined];
    if (asked.path.endsWith("cacerts")) return void response.end(base64(encodeCertsOnly([cacerts])));
    answers.shift();
    if (csrattrs === undefined) return void response.writeHead(404).end("no such thing");
    response.writeHead(csrattrs === "" ? 204 : 200).end(csrattrs);
  });
  t.teardown(() => server.close());
  const enroller = createEstEnroller({ hub: server.hub(pki.authority) });
  for (const _ of answers.slice(0, -1)) await enroller.prepare();
  await t.rejects(enroller.prepare(), { code: "enrol.mismatch", message: /pinned authority/ });
});

/** The answers to /cacerts and /csrattrs, attempt by attempt. */
function answersOf(pki: Pki): [Uint8Array, string | undefined][] {
  const good = raw(pki.authority.cert);
  const advice = Buffer.from("300906072a8648ce3d0201", "hex"); // SEQUENCE { id-ecPublicKey }
  return [
    [good, undefined],
    [good, ""],
    [good, base64(advice)],
    [good, base64(CHALLENGE)],
    [good, "no base64 of anything"],
    [raw(pki.attacker.cert), ""],
  ];
}

test("[ID-32] what /csrattrs answers is advice: enrolment goes on, and a refusal names what was not met", { skip }, async (t) => {
  const pki = makePki(t.testdir());
  const advice: readonly ((response: ServerResponse) => void)[] = [
    ...[400, 401, 405, 500, 501].map((status) => (response: ServerResponse) => void response.writeHead(status).end("no")),
    (response) => void response.end(Buffer.alloc(140_000, 65)),
    (response) => response.destroy(),
    (response) => void response.end(base64(CHALLENGE)),
  ];
  const server = await serveHttps(pki.server, pki.authority, (asked, response) => {
    if (asked.path.endsWith("cacerts")) return void response.end(base64(encodeCertsOnly([raw(pki.authority.cert)])));
    if (asked.path.endsWith("csrattrs")) return advice[server.asked.length / 2 - 1]?.(response);
    response.writeHead(409).end("no password");
  });
  t.teardown(() => server.close());
  const enroller = createEstEnroller({ hub: server.hub(pki.authority) });
  for (const _ of advice) await enroller.prepare();
  t.equal(server.asked.length, 2 * advice.length);
  await t.rejects(enroller.enrol(await requestOf("gw-1")), { code: "enrol.refused", message: /no password.*challengePassword/u });
});

test("[ID-32] a body in lines that is called malformed is sent once more in one line", { skip }, async (t) => {
  const pki = makePki(t.testdir());
  const server = await serveHttps(pki.server, pki.authority, (asked, response) => {
    response.writeHead(/^[A-Za-z0-9+/=]+$/u.test(asked.body) ? 202 : 400).end();
  });
  t.teardown(() => server.close());
  const enroller = createEstEnroller({ hub: server.hub(pki.authority) });
  const request = await requestOf("gw-1");
  t.match(await enroller.enrol(request), { kind: "later" });
  t.equal(server.asked.at(-1)?.body, base64(request));
  t.match(await enroller.renew(request, { certificate: pki.client.cert, key: pki.client.key }), { kind: "later" });
  t.match(server.asked.at(-1), { client: "gw-1", body: base64(request) });
});

test("[ID-32] redirects within the origin are followed, three at most, and no others", { skip }, async (t) => {
  const pki = makePki(t.testdir());
  let locations: readonly string[] = [];
  const server = await serveHttps(pki.server, pki.authority, (_asked, response) => {
    const [location, ...rest] = locations;
    locations = rest;
    if (location === undefined) response.writeHead(202).end();
    else response.writeHead([301, 302, 307, 308][rest.length % 4] ?? 307, { location }).end("moved");
  });
  t.teardown(() => server.close());
  const hub = server.hub(pki.authority);
  const enroller = createEstEnroller({ hub });
  const request = await requestOf("gw-1");
  const client = { certificate: pki.client.cert, key: pki.client.key };
  const redirected = async (...to: readonly string[]) => {
    locations = to;
    return await enroller.renew(request, client);
  };
  const origin = `https://localhost:${server.port}`;
  t.match(await redirected("/a", `${origin}/b?x=1`, "c"), { kind: "later" });
  t.match(server.asked.at(-1), { method: "POST", path: "/c", client: "gw-1", body: server.asked[0]?.body ?? "" });
  const before = server.asked.length;
  await t.rejects(redirected("/1", "/2", "/3", "/4"), { code: "enrol.bad-response", message: /more than 3 redirects/u });
  t.equal(server.asked.length, before + 4, "the fourth is not followed");
  for (const elsewhere of [
    "https://elsewhere.example/x",
    `https://localhost:${server.port + 1}/`,
    `http://localhost:${server.port}/`,
    `//127.0.0.1:${server.port}/`,
    "https://localhost@elsewhere.example/",
    "https://",
  ])
    await t.rejects(redirected(elsewhere), { code: "enrol.bad-response", message: /not at https:\/\/localhost/u }, elsewhere);
});

test("[ID-5] the server can read the request it gets", { skip }, async (t) => {
  const pki = makePki(t.testdir());
  const server = await serveHttps(pki.server, pki.authority, (_asked, response) => response.writeHead(403).end());
  t.teardown(() => server.close());
  await t.rejects(createEstEnroller({ hub: server.hub(pki.authority) }).enrol(await requestOf("gw-9")), { code: "enrol.denied" });
  t.equal(parseRequest(Buffer.from(server.asked[0]?.body ?? "", "base64")).commonName, "gw-9");
  t.equal(decodeCertsOnly(encodeCertsOnly([])).length, 0);
});
