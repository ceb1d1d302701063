import { X509Certificate } from "node:crypto";
import { test } from "tap";
import { checkIssued, checkStored, type ExpectedCertificate } from "../../../provisioning/certificate/index.ts";
import { needs } from "../../lab/runner/needs.ts";
import { type Credential, issue, makeAuthority, type LeafOptions } from "../../lab/counterparts/pki.ts";

const skip = needs("openssl");
const DAY_MS = 86_400_000;
const DEVICE: LeafOptions = { commonName: "gw-1", names: [], usages: ["clientAuth"] };
const raw = (credential: Credential): Buffer => new X509Certificate(credential.cert).raw;

function expecting(credential: Credential, authority: Credential, nowMs: number | undefined = Date.now()): ExpectedCertificate {
  const publicKey = new X509Certificate(credential.cert).publicKey.export({ format: "der", type: "spki" });
  return { deviceId: "gw-1", publicKey, authority: authority.cert, nowMs };
}

test("[ID-8] our certificate is found among those issued and accepted", { skip }, (t) => {
  const directory = t.testdir();
  const authority = makeAuthority(directory, "authority");
  const ours = issue(directory, "ours", authority, DEVICE);
  const certificate = checkIssued([raw(authority), raw(ours)], expecting(ours, authority));
  t.equal(certificate.pem, ours.cert);
  t.equal(certificate.issuer, "Test Hub Authority");
  t.equal(certificate.notAfterMs - certificate.notBeforeMs, 90 * DAY_MS);
  t.same(checkStored(certificate.pem, expecting(ours, authority)), certificate, "it is the same when it is read back from PEM");
  t.end();
});

test("[ID-8] intermediates that the authority sends are kept for TLS, in order", { skip }, (t) => {
  const directory = t.testdir();
  const authority = makeAuthority(directory, "authority");
  const sub = (name: string, issuer: Credential): Credential =>
    issue(directory, name, issuer, { commonName: name, authority: true, usages: [], names: [] });
  const first = sub("first", authority);
  const second = sub("second", first);
  const ours = issue(directory, "ours", second, DEVICE);
  t.equal(
    checkIssued([first, ours, authority, second].map(raw), expecting(ours, authority)).pem,
    ours.cert + second.cert + first.cert,
  );
  t.throws(() => checkIssued([ours, second].map(raw), expecting(ours, authority)), { code: "enrol.mismatch", message: /chain/ });
  const third = sub("third", second);
  const fourth = sub("fourth", third);
  const deep = issue(directory, "deep", fourth, DEVICE);
  t.throws(() => checkIssued([first, second, third, fourth, deep].map(raw), expecting(deep, authority)), { message: /chain/ });
  t.end();
});

test("[ID-8] a certificate with any single fault is refused", { skip }, (t) => {
  const directory = t.testdir();
  const authority = makeAuthority(directory, "authority");
  const attacker = makeAuthority(directory, "attacker");
  const wrong: readonly [string, Credential, RegExp][] = [
    ["attacker's, same name", issue(directory, "a", attacker, DEVICE), /chain/],
    ["attacker's, no key id", issue(directory, "b", attacker, { ...DEVICE, issuerKeyId: false }), /chain/],
    ["another device's id", issue(directory, "c", authority, { ...DEVICE, commonName: "gw-2" }), /CN is "gw-2", expected "gw-1"/],
    ["two ids", issue(directory, "d", authority, { ...DEVICE, commonName: "gw-1/CN=gw-2" }), /CN is/],
    ["for servers", issue(directory, "e", authority, { ...DEVICE, usages: ["serverAuth"] }), /client authentication/],
    ["for nothing named", issue(directory, "f", authority, { ...DEVICE, usages: [] }), /client authentication/],
    ["an authority's", issue(directory, "g", authority, { ...DEVICE, authority: true }), /authority's/],
    [
      "from the future",
      issue(directory, "h", authority, { ...DEVICE, notBefore: new Date(Date.now() + DAY_MS) }),
      /not valid before/,
    ],
    ["expired", issue(directory, "i", authority, { ...DEVICE, notBefore: new Date(Date.now() - 99 * DAY_MS) }), /expired/],
  ];
  for (const [says, credential, message] of wrong)
    t.throws(() => checkIssued([raw(credential)], expecting(credential, authority)), { code: "enrol.mismatch", message }, says);

  const both = issue(directory, "j", attacker, { ...DEVICE, commonName: "gw-2", usages: ["serverAuth"] });
  const all = /CN is.*client authentication.*chain/;
  t.throws(() => checkIssued([raw(both)], expecting(both, authority)), { message: all }, "all faults are reported at once");
  t.end();
});

test("[ID-8] another device's certificate is no authority, even if its key usage would let it sign", { skip }, (t) => {
  const directory = t.testdir();
  const authority = makeAuthority(directory, "authority");
  const neighbour = issue(directory, "n", authority, { ...DEVICE, commonName: "gw-2", keyUsage: "digitalSignature,keyCertSign" });
  const ours = issue(directory, "ours", neighbour, DEVICE);
  t.throws(() => checkIssued([ours, neighbour].map(raw), expecting(ours, authority)), {
    code: "enrol.mismatch",
    message: /chain/,
  });
  t.end();
});

test("[ID-8] a certificate for another key is refused, whatever else it says", { skip }, (t) => {
  const directory = t.testdir();
  const authority = makeAuthority(directory, "authority");
  const [ours, other] = [issue(directory, "ours", authority, DEVICE), issue(directory, "other", authority, DEVICE)];
  t.throws(() => checkIssued([raw(other)], expecting(ours, authority)), { code: "enrol.mismatch", message: /public key/ });
  t.throws(() => checkIssued([], expecting(ours, authority)), { code: "enrol.mismatch" });
  t.throws(() => checkIssued([Buffer.from("garbage")], expecting(ours, authority)), { code: "x509.invalid" });
  t.throws(() => checkStored("garbage", expecting(ours, authority)), { code: "enrol.mismatch" });
  t.end();
});

test("[ID-8] while the clock cannot be trusted, dates are not checked", { skip }, (t) => {
  const directory = t.testdir();
  const authority = makeAuthority(directory, "authority");
  const ours = issue(directory, "ours", authority, DEVICE);
  t.throws(() => checkIssued([raw(ours)], expecting(ours, authority, 0)), { message: /not valid before/ });
  t.equal(checkIssued([raw(ours)], { ...expecting(ours, authority), nowMs: undefined }).pem, ours.cert);
  t.end();
});
