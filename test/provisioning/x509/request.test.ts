import { generateKeyPairSync, sign } from "node:crypto";
import { test } from "tap";
import {
  buildRequest,
  type CertificateRequest,
  der,
  keyFingerprint,
  parseRequest,
} from "../../../provisioning/x509/format/index.ts";
import { memoryKey } from "../../lab/fakes/keys.ts";
import { needs } from "../../lab/runner/needs.ts";
import { OID } from "../../../provisioning/x509/format/oids.ts";
import { openssl, opensslWords } from "../../lab/counterparts/pki.ts";

const AUDIT_KEY = "sallyport/1/gw-1+0a1b2c3d+AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";

function requestFor(publicKey: Uint8Array): CertificateRequest {
  return {
    commonName: "gw_1",
    serialNumber: "SN-0042",
    uris: ["urn:dev:mac:0024befffe804ff1", "urn:dev:ops:32473-Gateway-5002"],
    publicKey,
    auditKey: AUDIT_KEY,
    protection: "tpm",
  };
}

test(
  "[ID-5] [ID-60] openssl verifies our request and reads the names, the URNs, the audit key and the protection in it",
  { skip: needs("openssl") },
  async (t) => {
    const key = memoryKey();
    const bytes = await buildRequest(requestFor(key.publicKey), key.sign);
    const output = opensslWords(["req", "-inform", "DER", "-verify", "-text", "-noout"], bytes);
    t.match(output, /verify OK/);
    t.match(output, /Subject: CN ?= ?gw_1, serialNumber ?= ?SN-0042/);
    t.match(output, "URI:urn:dev:mac:0024befffe804ff1, URI:urn:dev:ops:32473-Gateway-5002");
    t.match(output, `2.25.61220509282644574342077204429801355485:${AUDIT_KEY}`);
    t.match(output, "2.25.14201096849448037134835018188834110006:tpm");
    t.match(output, "ecdsa-with-SHA256");
  },
);

test("[ID-5] openssl refuses our request when its signature is by another key", { skip: needs("openssl") }, async (t) => {
  const bytes = await buildRequest(requestFor(memoryKey().publicKey), memoryKey().sign);
  t.match(opensslWords(["req", "-inform", "DER", "-verify", "-noout"], bytes), /verify failure|verification failure/i);
});

test("[ID-5] the hub reads what the device wrote, with all members and with none", async (t) => {
  const key = memoryKey();
  const full = requestFor(key.publicKey);
  t.same(parseRequest(await buildRequest(full, key.sign)), full);
  const bare = {
    commonName: "gw-1",
    serialNumber: undefined,
    uris: [],
    publicKey: key.publicKey,
    auditKey: undefined,
    protection: undefined,
  };
  t.same(parseRequest(await buildRequest(bare, key.sign)), bare);
});

test("[ID-5] a request made by openssl is read, because other EST clients use it", { skip: needs("openssl") }, (t) => {
  const config =
    "[req]\ndistinguished_name=dn\nprompt=no\nreq_extensions=ext\n[dn]\nCN=gw-2\nserialNumber=77\n[ext]\nkeyUsage=digitalSignature\nsubjectAltName=critical,URI:urn:dev:mac:0024befffe804ff1\n";
  const directory = t.testdir({ key: memoryKey().tlsKey(), config });
  const args = ["req", "-new", "-config", `${directory}/config`, "-key", `${directory}/key`, "-outform", "DER"];
  const want = { commonName: "gw-2", serialNumber: "77", uris: ["urn:dev:mac:0024befffe804ff1"], auditKey: undefined };
  t.match(parseRequest(openssl(args)), want);
  t.end();
});

test(
  "[ID-60] openssl writes the protection too; another word, a second one and another type are refused",
  { skip: needs("openssl") },
  async (t) => {
    const made = (...attributes: readonly string[]): Uint8Array => {
      const config = `[req]\ndistinguished_name=dn\nprompt=no\nattributes=more\n[dn]\nCN=gw-2\n[more]\n${attributes.join("\n")}\n`;
      const directory = t.testdir({ key: memoryKey().tlsKey(), config });
      return openssl(["req", "-new", "-config", `${directory}/config`, "-key", `${directory}/key`, "-outform", "DER"]);
    };
    const oid = "2.25.14201096849448037134835018188834110006";
    for (const protection of ["tpm", "sealed", "file"] as const)
      t.equal(parseRequest(made(`${oid}=${protection}`)).protection, protection);
    t.throws(() => parseRequest(made(`${oid}=TPM`)), { code: "csr.invalid", message: /none of tpm, sealed, file/u });
    t.throws(() => parseRequest(made(`${oid}=${"x".repeat(5000)}`)), {
      code: "csr.invalid",
      message: /none of tpm, sealed, file$/u,
    });
    const key = memoryKey();
    const value = (...values: readonly der.Value[]): der.Value => der.sequence(OID.keyProtection, der.setOf(...values));
    const [word, other] = [der.utf8String("tpm"), der.utf8String("file")];
    for (const [attributes, message] of [
      [[value(word, other)], /more than one value/u],
      [[value(word), value(other)], /more than one protection/u],
      [[value(der.integer(1))], /expected tag 0x0c for protection/u],
      [[value()], /expected tag 0x0c for protection, got nothing/u],
    ] as const)
      t.throws(() => parseRequest(withAttributes(key, attributes)), { code: "csr.invalid", message });
  },
);

function withAttributes(key: ReturnType<typeof memoryKey>, attributes: readonly der.Value[]): Uint8Array {
  const spki = der.decode(key.publicKey, 1000, { code: "assert.broken", what: "key" });
  const name = der.sequence(der.setOf(der.sequence(der.oid("2.5.4.3"), der.utf8String("gw-1"))));
  const info = der.sequence(der.integer(0), name, spki, der.context(0, ...der.inDerOrder(attributes)));
  const signature = sign("sha256", der.encode(info), key.privateKey);
  return der.encode(der.sequence(info, der.sequence(der.oid("1.2.840.10045.4.3.2")), der.bitString(signature)));
}

test("[ID-5] a request whose signature is not by its own key is refused", async (t) => {
  const bytes = await buildRequest(requestFor(memoryKey().publicKey), memoryKey().sign);
  t.throws(() => parseRequest(bytes), { code: "csr.invalid", message: /not by the key/ });
});

test("[ID-4] a key on another curve, or of another kind, is refused both ways", async (t) => {
  const other = memoryKey("P-384");
  await t.rejects(buildRequest(requestFor(other.publicKey), other.sign), { code: "csr.invalid" });
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const spki = publicKey.export({ format: "der", type: "spki" });
  await t.rejects(
    buildRequest(requestFor(spki), async (data) => sign(null, data, privateKey)),
    { code: "csr.invalid" },
  );
  const offCurve = Buffer.from(memoryKey().publicKey);
  offCurve.fill(1, 30);
  await t.rejects(buildRequest(requestFor(offCurve), other.sign), { code: "csr.invalid", message: /not a point/ });
});

test("[ID-5] a request cut at any byte, or with a byte behind it, is refused", async (t) => {
  const key = memoryKey();
  const bytes = await buildRequest(requestFor(key.publicKey), key.sign);
  for (let length = 0; length < bytes.byteLength; length += 1)
    t.throws(() => parseRequest(bytes.subarray(0, length)), { code: "csr.invalid" }, `cut at ${length}`);
  t.throws(() => parseRequest(Buffer.concat([bytes, Buffer.of(0)])), { code: "csr.invalid" });
});

test("[ID-5] BER that is not DER is refused: a request has only one encoding", async (t) => {
  const key = memoryKey();
  const bytes = Buffer.from(await buildRequest(requestFor(key.publicKey), key.sign));
  const length = bytes.readUInt16BE(2);
  const longer = Buffer.concat([Buffer.of(0x30, 0x83, 0x00, length >> 8, length & 0xff), bytes.subarray(4)]);
  t.throws(() => parseRequest(longer), { code: "csr.invalid", message: /not DER/ });
  const indefinite = Buffer.concat([Buffer.of(0x30, 0x80), bytes.subarray(4), Buffer.of(0, 0)]);
  t.throws(() => parseRequest(indefinite), { code: "csr.invalid", message: /not DER/ });
});

test("[ID-5] a subject with two CNs, or with anything but CN and serialNumber, is refused", async (t) => {
  const key = memoryKey();
  const cn = (text: string): der.Value => der.setOf(der.sequence(der.oid("2.5.4.3"), der.utf8String(text)));
  const organisation = der.setOf(der.sequence(der.oid("2.5.4.10"), der.utf8String("ACME")));
  for (const names of [[cn("a"), cn("b")], [cn("a"), organisation], []]) {
    const bytes = await signed(key, der.sequence(...names));
    t.throws(() => parseRequest(bytes), { code: "csr.invalid", message: /subject/ });
  }
  t.equal(parseRequest(await signed(key, der.sequence(cn("a")))).commonName, "a");
});

async function signed(key: ReturnType<typeof memoryKey>, subject: der.Value): Promise<Uint8Array> {
  const spki = der.decode(key.publicKey, 1000, { code: "assert.broken", what: "key" });
  const info = der.sequence(der.integer(0), subject, spki, der.context(0));
  return der.encode(
    der.sequence(info, der.sequence(der.oid("1.2.840.10045.4.3.2")), der.bitString(await key.sign(der.encode(info)))),
  );
}

test("[ID-5] all members out of bounds are refused at once, before anything is signed", async (t) => {
  const request: CertificateRequest = {
    commonName: "x".repeat(65),
    serialNumber: "under_score",
    uris: ["urn:with space"],
    publicKey: memoryKey().publicKey,
    auditKey: "no key",
  };
  const never = async (): Promise<Uint8Array> => {
    t.fail("signed a bad request");
    return Buffer.alloc(0);
  };
  await t.rejects(buildRequest(request, never), { code: "csr.invalid", message: /CN.*serialNumber.*URI.*audit key/ });
});

test("[ID-21] the fingerprint is SHA-256 over the SubjectPublicKeyInfo", { skip: needs("openssl") }, (t) => {
  const key = memoryKey();
  const [digest] = openssl(["dgst", "-sha256", "-r"], key.publicKey).toString().split(" ");
  t.equal(keyFingerprint(key.publicKey), `sha256:${digest}`);
  t.end();
});
