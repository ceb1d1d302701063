import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { connect } from "node:tls";
import { test } from "tap";
import { HUB_TIME_BYTES_MAX, HUB_TIME_PATH, type HubTimeResponse, hubTimeResponseSchema } from "../../../ota/format/time.ts";
import { askHubTime, type HubTimeExchange } from "../../../provisioning/enrollers/index.ts";
import type { HubServer } from "../../../provisioning/tls/index.ts";
import { type ReceivedRequest, type EstServer, serveHttps } from "../../lab/counterparts/est-server.ts";
import { needs } from "../../lab/runner/needs.ts";
import { type Credential, issue, type LeafOptions, makeAuthority, makePki, type Pki } from "../../lab/counterparts/pki.ts";

const skip = needs("openssl");
const NONCE = "ab".repeat(32);
const QUESTION: HubTimeExchange<typeof hubTimeResponseSchema> = {
  path: HUB_TIME_PATH,
  body: JSON.stringify({ deviceId: "gw-1", nonce: NONCE }),
  answer: hubTimeResponseSchema,
  bytesMax: HUB_TIME_BYTES_MAX,
};
const GOOD = { deviceId: "gw-1", nonce: NONCE, time: "2026-11-22T04:00:00.000Z", signature: `${"A".repeat(86)}==` };
const DAY_MS = 86_400_000;
const YEAR_MS = 365 * DAY_MS;

function answerTime(_asked: ReceivedRequest, response: ServerResponse): void {
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(GOOD));
}

const ask = async (hub: HubServer, dates: "strict" | "waived"): Promise<HubTimeResponse> => askHubTime(hub, dates, QUESTION);

async function serve(credential: Credential, pki: Pki): Promise<EstServer> {
  return serveHttps(credential, pki.authority, answerTime);
}

test("[ID-11] a good hub answers strictly, and its dates are waived only where the caller says so", { skip }, async (t) => {
  const pki = makePki(t.testdir());
  for (const [credential, strict] of [
    [pki.server, undefined],
    [pki.expired, "tls.hub-dates"],
    [pki.notYetValid, "tls.hub-dates"],
  ] as const) {
    const server = await serve(credential, pki);
    const hub = server.hub(pki.authority);
    if (strict === undefined) t.same(await ask(hub, "strict"), GOOD);
    else await t.rejects(ask(hub, "strict"), { code: strict });
    t.same(await ask(hub, "waived"), GOOD);
    t.match(server.asked.at(-1), { method: "POST", path: HUB_TIME_PATH, body: QUESTION.body });
    await server.close();
  }
});

test(
  "[ID-11] with dates waived, an attacker's certificate whose only visible fault is its dates is refused before its answer is read",
  { skip },
  async (t) => {
    const directory = t.testdir();
    const pki = makePki(directory);
    const future = { notBefore: new Date(Date.now() + YEAR_MS), notAfter: new Date(Date.now() + 2 * YEAR_MS) };
    const past = { notBefore: new Date(Date.now() - 2 * YEAR_MS), notAfter: new Date(Date.now() - YEAR_MS) };
    const here: LeafOptions = { commonName: "localhost", names: ["DNS:localhost"] };
    const wrong: readonly [string, Credential, string][] = [
      ["attacker's authority of the same name, future", pki.attackerNotYetValid, "tls.hub-untrusted"],
      [
        "the same without a key id: names match, only the signature does not",
        issue(directory, "no-id", pki.attacker, { ...here, ...future, issuerKeyId: false }),
        "tls.hub-untrusted",
      ],
      ["attacker's, valid now", pki.attackerServer, "tls.hub-untrusted"],
      ["attacker's, expired", issue(directory, "a-old", pki.attacker, { ...here, ...past }), "tls.hub-untrusted"],
      ["self-signed", pki.selfSigned, "tls.hub-untrusted"],
      [
        "ours, other name, future",
        issue(directory, "w", pki.authority, { commonName: "elsewhere.example", ...future }),
        "tls.hub-name",
      ],
      [
        "ours, name in the CN only",
        issue(directory, "cn", pki.authority, { commonName: "localhost", names: ["DNS:elsewhere.example"], ...future }),
        "tls.hub-name",
      ],
      [
        "ours, for clients, future",
        issue(directory, "c", pki.authority, { ...here, usages: ["clientAuth"], ...future }),
        "tls.hub-untrusted",
      ],
      ["ours, for nothing named", issue(directory, "n", pki.authority, { ...here, usages: [], ...future }), "tls.hub-untrusted"],
      [
        "ours, key not for signing",
        issue(directory, "k", pki.authority, { ...here, keyUsage: "keyAgreement", ...future }),
        "tls.hub-untrusted",
      ],
      [
        "ours, an authority itself",
        issue(directory, "ca", pki.authority, { ...here, authority: true, keyUsage: "digitalSignature,keyCertSign" }),
        "tls.hub-untrusted",
      ],
    ];
    for (const [says, credential, code] of wrong) {
      const server = await serve(credential, pki);
      await t.rejects(ask(server.hub(pki.authority), "waived"), { code }, says);
      t.equal(server.asked.length, 0, "not one byte of HTTP was sent");
      await server.close();
    }
  },
);

test("[ID-11] a device's own certificate, or one below it, is not accepted as the hub's", { skip }, async (t) => {
  const directory = t.testdir();
  const pki = makePki(directory);
  const below = issue(directory, "below", pki.client, { commonName: "localhost" });
  const chained = { ...below, cert: `${below.cert}${pki.client.cert}` };
  for (const credential of [pki.client, chained]) {
    const server = await serve(credential, pki);
    await t.rejects(ask(server.hub(pki.authority), "waived"), { code: /^tls\.hub-(untrusted|name)$/ });
    t.equal(server.asked.length, 0);
    await server.close();
  }
});

test(
  "[ID-11] why the check is our own: OpenSSL's error code for the attacker is the same as for the hub",
  { skip },
  async (t) => {
    const pki = makePki(t.testdir());
    const codes: string[] = [];
    for (const credential of [
      pki.notYetValid,
      { ...pki.attackerNotYetValid, cert: `${pki.attackerNotYetValid.cert}${pki.attacker.cert}` },
    ]) {
      const server = await serve(credential, pki);
      const socket = connect({
        port: server.port,
        host: "127.0.0.1",
        servername: "localhost",
        ca: pki.authority.cert,
        rejectUnauthorized: false,
      });
      await once(socket, "secureConnect");
      codes.push(String(socket.authorizationError));
      socket.destroy();
      await server.close();
    }
    t.match(codes[0], /CERT_NOT_YET_VALID/);
    t.not(codes[1], "");
    t.comment(`the hub: ${codes[0]}; the attacker: ${codes[1]}`);
  },
);

test("[ID-10] an answer of another form, size or status is refused", { skip }, async (t) => {
  const pki = makePki(t.testdir());
  const cases: readonly [string, number, string, string][] = [
    ["unknown member", 200, JSON.stringify({ ...GOOD, extra: 1 }), "enrol.bad-response"],
    ["missing member", 200, JSON.stringify({ ...GOOD, time: undefined }), "enrol.bad-response"],
    ["short nonce", 200, JSON.stringify({ ...GOOD, nonce: "ab" }), "enrol.bad-response"],
    ["no JSON", 200, "<html>", "enrol.bad-response"],
    ["too large", 200, " ".repeat(HUB_TIME_BYTES_MAX + 1), "enrol.too-large"],
    ["refusal", 403, "", "enrol.denied"],
    ["redirect", 307, "", "enrol.bad-response"],
  ];
  const server = await serveHttps(pki.server, pki.authority, (_asked, response) => {
    const [, status = 500] = cases[server.asked.length - 1] ?? [];
    response.writeHead(status).end(cases[server.asked.length - 1]?.[2]);
  });
  t.teardown(() => server.close());
  for (const [says, , , code] of cases) await t.rejects(ask(server.hub(pki.authority), "waived"), { code }, says);
});

test("[ID-11] with another authority pinned, the same hub is refused", { skip }, async (t) => {
  const pki = makePki(t.testdir());
  const other = makeAuthority(t.testdirName, "other", "Somebody Else");
  const server = await serve(pki.notYetValid, pki);
  t.teardown(() => server.close());
  await t.rejects(ask(server.hub(other), "waived"), { code: "tls.hub-untrusted" });
  t.ok(new X509Certificate(pki.authority.cert).ca);
});
