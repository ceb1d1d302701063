// Certificates of the hub's authority, verified by OpenSSL and by Node.
import { spawnSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "tap";
import { isServerDue, makeAuthority, createIssuer } from "../../../hub/authority/issuer.ts";
import { pem } from "../../../hub/authority/index.ts";
import { parseRequest } from "../../../provisioning/x509/format/index.ts";
import { labDevice } from "../../lab/worlds/hub.ts";
import { needs } from "../../lab/runner/needs.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";

const NOW = Date.parse("2026-11-22T10:00:00Z");
const DAY_MS = 86_400_000;

const authority = makeAuthority("Plant 7", NOW);
const issuer = createIssuer("Plant 7", authority);
const END_MS = issuer.validity.toMs;

test("[ID-5] a device certificate carries the request's id, serial, names and key, and is for client authentication", async (t) => {
  const device = await labDevice("gw-1", {
    serialNumber: "SN-7",
    uris: ["urn:dev:mac:02005efffe100001", "urn:dev:mac:02005efffe100002"],
  });
  const issued = issuer.issueDevice(parseRequest(device.csr), NOW, 90 * DAY_MS);
  const certificate = new X509Certificate(issued.der);
  t.equal(certificate.subject, "CN=gw-1\nserialNumber=SN-7");
  t.equal(certificate.subjectAltName, "URI:urn:dev:mac:02005efffe100001, URI:urn:dev:mac:02005efffe100002");
  t.same(certificate.keyUsage, ["1.3.6.1.5.5.7.3.2"]);
  t.equal(certificate.ca, false);
  t.ok(certificate.checkIssued(issuer.certificate) && certificate.verify(issuer.certificate.publicKey));
  t.ok(certificate.checkPrivateKey(device.key));
  t.equal(certificate.serialNumber.toLowerCase(), issued.serial);
  t.match(issued.serial, /^[4-7][0-9a-f]{31}$/);
  t.equal(certificate.validFromDate.getTime(), NOW - DAY_MS, "a day early, for a device whose clock is behind");
  t.equal(certificate.validToDate.getTime(), NOW + 90 * DAY_MS);
});

test("[STA-40] no certificate begins before the authority, outlives it, or ends before it begins", async (t) => {
  const device = await labDevice("gw-1");
  const request = parseRequest(device.csr);
  for (const [nowMs, message] of [
    [NOW - 2 * DAY_MS, /the clock says 2026-11-20T.*begins at 2026-11-21T.*set the clock/],
    [END_MS, /ended at 2051-/],
    [NOW + 100 * 366 * DAY_MS, /ended at 2051-.*the anchors of a new hub/],
  ] as const) {
    t.throws(() => issuer.issueDevice(request, nowMs, DAY_MS), { code: "hub.clock-wrong", message });
    t.throws(() => issuer.issueServer(["hub.example"], nowMs), { code: "hub.clock-wrong", message });
  }
  const last = new X509Certificate(issuer.issueServer(["hub.example"], END_MS - 1000).certificatePem);
  t.equal(last.validToDate.getTime(), END_MS);
  t.notOk(isServerDue(last.toString(), END_MS - 500, END_MS), "no other one would end later");
  t.equal(issuer.issueDevice(request, NOW - DAY_MS / 2, DAY_MS).notBeforeMs, NOW - DAY_MS);
  const issued = issuer.issueDevice(parseRequest(device.csr), NOW, 100 * 366 * DAY_MS);
  t.equal(issued.notAfterMs, issuer.certificate.validToDate.getTime());
});

test(
  "openssl verifies device and server certificates strictly, each for its own purpose only",
  { skip: needs("openssl") },
  async (t) => {
    const directory = await temporaryDirectory(t);
    const device = await labDevice("gw-1");
    const file = (name: string, contents: string): string => {
      const path = join(directory, name);
      writeFileSync(path, contents);
      return path;
    };
    const ca = file("ca.pem", authority.certificatePem);
    const client = file("client.pem", pem(issuer.issueDevice(parseRequest(device.csr), NOW, DAY_MS).der));
    const server = file("server.pem", issuer.issueServer(["hub.example", "192.0.2.7"], NOW).certificatePem);
    const verify = (purpose: string, ...rest: readonly string[]) =>
      spawnSync(
        "openssl",
        ["verify", "-x509_strict", "-attime", String(NOW / 1000), "-CAfile", ca, "-purpose", purpose, ...rest],
        {
          encoding: "utf8",
        },
      );
    t.equal(verify("sslclient", client).status, 0, "a client certificate is for client authentication");
    t.not(verify("sslserver", client).status, 0, "a device certificate is not for servers");
    t.equal(verify("sslserver", "-verify_hostname", "hub.example", server).status, 0);
    t.equal(verify("sslserver", "-verify_ip", "192.0.2.7", server).status, 0);
    t.not(verify("sslserver", "-verify_hostname", "other.example", server).status, 0);
    t.not(verify("sslclient", server).status, 0, "a server certificate is not for devices");
    const shown = spawnSync("openssl", ["x509", "-in", client, "-noout", "-text"], { encoding: "utf8" }).stdout;
    for (const line of [
      /CA:FALSE/,
      /X509v3 Key Usage: critical\s+Digital Signature/,
      /TLS Web Client Authentication/,
      /Authority Key Identifier/,
    ])
      t.match(shown, line);
  },
);

test("the server certificate is due when a third of its validity is left, or when the clock was set back before it", async (t) => {
  const { certificatePem } = issuer.issueServer(["hub.example"], NOW);
  t.notOk(isServerDue(certificatePem, NOW, END_MS));
  t.notOk(isServerDue(certificatePem, NOW + 240 * DAY_MS, END_MS));
  t.ok(isServerDue(certificatePem, NOW + 250 * DAY_MS, END_MS));
  t.ok(isServerDue(certificatePem, NOW - 2 * DAY_MS, END_MS));
});
