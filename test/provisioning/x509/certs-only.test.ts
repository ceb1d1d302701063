import { X509Certificate } from "node:crypto";
import { test } from "tap";
import { decodeCertsOnly, encodeCertsOnly } from "../../../provisioning/x509/format/index.ts";
import { needs } from "../../lab/runner/needs.ts";
import { makeAuthority, openssl } from "../../lab/counterparts/pki.ts";

const skip = needs("openssl");

test("[ID-7] openssl lists the certificates of our certs-only CMS", { skip }, (t) => {
  const directory = t.testdir();
  const [a, b] = [makeAuthority(directory, "a", "First"), makeAuthority(directory, "b", "Second")];
  const bytes = encodeCertsOnly([new X509Certificate(a.cert).raw, new X509Certificate(b.cert).raw]);
  const output = openssl(["pkcs7", "-inform", "DER", "-print_certs"], bytes).toString();
  t.match(output, /CN ?= ?First/);
  t.match(output, /CN ?= ?Second/);
  t.end();
});

test("[ID-7] the output of openssl crl2pkcs7 is read, certificate by certificate, bit by bit", { skip }, (t) => {
  const directory = t.testdir();
  const [a, b] = [makeAuthority(directory, "a", "First"), makeAuthority(directory, "b", "Second")];
  const bytes = openssl(["crl2pkcs7", "-nocrl", "-certfile", a.certFile, "-certfile", b.certFile, "-outform", "DER"]);
  const want = [a, b].map((one) => new X509Certificate(one.cert).raw.toString("hex")).sort();
  t.same(
    decodeCertsOnly(bytes)
      .map((one) => Buffer.from(one).toString("hex"))
      .sort(),
    want,
  );
  t.same(
    decodeCertsOnly(encodeCertsOnly(decodeCertsOnly(bytes)))
      .map((one) => Buffer.from(one).toString("hex"))
      .sort(),
    want,
  );
  t.end();
});

test("[ID-7] BER with indefinite lengths is read, because some authorities send it", { skip }, (t) => {
  const certificate = new X509Certificate(makeAuthority(t.testdir(), "a").cert).raw;
  const bytes = indefinite(certificate);
  t.same(
    decodeCertsOnly(bytes).map((one) => Buffer.from(one)),
    [certificate],
  );
  for (let length = 0; length < bytes.byteLength; length += 1)
    t.throws(() => decodeCertsOnly(bytes.subarray(0, length)), { code: "cms.invalid" }, `cut at ${length}`);
  t.match(
    openssl(["pkcs7", "-inform", "DER", "-print_certs"], bytes).toString(),
    /Test Hub Authority/,
    "openssl reads it the same way",
  );
  t.end();
});

/** ContentInfo and SignedData with indefinite lengths, as streaming encoders write them. */
function indefinite(certificate: Uint8Array): Uint8Array {
  const end = Buffer.of(0, 0);
  const head = Buffer.from("308006092a864886f70d010702a08030800201013100300b06092a864886f70d010701a080", "hex");
  return Buffer.concat([head, certificate, end, Buffer.from("3100", "hex"), end, end, end]);
}

test("[ID-7] CMS cut at any byte, or with an extra byte at the end, is refused", { skip }, (t) => {
  const certificate = new X509Certificate(makeAuthority(t.testdir(), "a").cert).raw;
  const bytes = encodeCertsOnly([certificate]);
  for (let length = 0; length < bytes.byteLength; length += 1)
    t.throws(() => decodeCertsOnly(bytes.subarray(0, length)), { code: "cms.invalid" }, `cut at ${length}`);
  t.throws(() => decodeCertsOnly(Buffer.concat([bytes, Buffer.of(0)])), { code: "cms.invalid" });
  t.end();
});

test("[ID-7] CMS of another type, or with more certificates than any device needs, is refused", { skip }, (t) => {
  const certificate = new X509Certificate(makeAuthority(t.testdir(), "a").cert).raw;
  const data = openssl(["cms", "-data_create", "-outform", "DER"], "hello");
  t.throws(() => decodeCertsOnly(data), { code: "cms.invalid", message: /not a SignedData/ });
  t.throws(() => encodeCertsOnly(Array.from({ length: 17 }, () => certificate)), { code: "cms.invalid", message: /at most 16/ });
  t.throws(() => decodeCertsOnly(Buffer.alloc(70_000)), { code: "cms.invalid", message: /at most 65536/ });
  t.end();
});

test("a certificate with a BMPString name passes through unchanged", { skip }, (t) => {
  const directory = t.testdir({ config: "[req]\ndistinguished_name=dn\nprompt=no\nstring_mask=MASK:0x800\n[dn]\nCN=Zürich\n" });
  const key = makeAuthority(directory, "a").keyFile;
  const raw = openssl(["req", "-x509", "-new", "-utf8", "-key", key, "-config", `${directory}/config`, "-outform", "DER"]);
  t.match(openssl(["asn1parse", "-inform", "DER"], raw).toString(), "BMPSTRING");
  t.same(
    decodeCertsOnly(encodeCertsOnly([raw])).map((one) => Buffer.from(one)),
    [raw],
  );
  t.end();
});
