import { spawnSync } from "node:child_process";
import { generateKeyPairSync, sign } from "node:crypto";
import { test } from "tap";
import {
  buildRequest,
  type CertificateRequest,
  der,
  isOfBefore,
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
    t.match(output, `sallyport/1 protection=tpm audit-key=${AUDIT_KEY}`);
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
  "[ID-60] [ID-85] openssl writes the protection as earlier agents did; another word, a second one and another type are refused",
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
    const value = (...values: readonly der.Value[]): der.Value => der.sequence(OID.keyProtectionBefore, der.setOf(...values));
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

test("[ID-85] GnuTLS reads our request, and none of earlier agents", { skip: needs("openssl", "certtool") }, async (t) => {
  const key = memoryKey();
  const asPem = (der: Uint8Array): Buffer => openssl(["req", "-inform", "DER", "-outform", "PEM"], der);
  const gnutls = (request: Uint8Array) => spawnSync("certtool", ["--crq-info"], { input: asPem(request), encoding: "utf8" });
  const ours = gnutls(await buildRequest(requestFor(key.publicKey), key.sign));
  t.equal(ours.status, 0, ours.stderr);
  t.match(ours.stdout, /Self signature: verified/u);
  t.match(ours.stdout, `sallyport/1 protection=tpm audit-key=${AUDIT_KEY}`);
  const before = withAttributes(key, [der.sequence(OID.auditKeyBefore, der.setOf(der.utf8String(AUDIT_KEY)))]);
  t.notMatch(gnutls(before).stdout, /Self signature: verified/u);
});

test("[ID-85] the hub reads the statement of every tool, the form of earlier agents, and nobody else's text", async (t) => {
  const key = memoryKey();
  const statement = (...words: readonly (der.Value | string)[]): Uint8Array =>
    withAttributes(key, [
      der.sequence(
        OID.unstructuredName,
        der.setOf(...words.map((word) => (typeof word === "string" ? der.utf8String(word) : word))),
      ),
    ]);
  const said = { protection: "sealed", auditKey: AUDIT_KEY } as const;
  const words = `sallyport/1 protection=sealed audit-key=${AUDIT_KEY}`;
  t.match(parseRequest(statement(words)), said);
  t.match(parseRequest(statement(`sallyport/1 audit-key=${AUDIT_KEY} newer=yes protection=sealed`)), said, "any order, and more");
  t.match(parseRequest(statement({ tag: der.TAG.ia5String, content: Buffer.from(words) })), said, "as IA5String");
  t.match(parseRequest(statement("An Optional Company", words)), said, "beside a name");
  const before = [
    der.sequence(OID.auditKeyBefore, der.setOf(der.utf8String(AUDIT_KEY))),
    der.sequence(OID.keyProtectionBefore, der.setOf(der.utf8String("sealed"))),
  ];
  t.match(parseRequest(withAttributes(key, before)), said, "of an earlier agent");
  t.ok(isOfBefore(withAttributes(key, before)));
  t.notOk(isOfBefore(statement(words)));
  const nothing = { protection: undefined, auditKey: undefined };
  const bmp = { tag: 0x1e, content: Buffer.from("sallyport/1 x", "utf16le") };
  for (const other of ["sallyport/10 protection=tpm", "An Optional Company", "sallyport/1", bmp, der.integer(1)])
    t.match(parseRequest(statement(other)), nothing);
  for (const [request, message] of [
    [statement("sallyport/1 protection=strong"), /none of tpm, sealed, file/u],
    [statement("sallyport/1 protection=tpm protection=file"), /more than one protection/u],
    [statement(words, "sallyport/1 protection=tpm"), /more than one protection/u],
    [statement(`${words} audit-key=${AUDIT_KEY}`), /more than one audit key/u],
    [statement("sallyport/1  protection=tpm"), /not a list of name=value/u],
    [statement("sallyport/1 tpm"), /not a list of name=value/u],
    [statement(`sallyport/1 audit-key=${"x".repeat(300)}`), /audit key is a C2SP verifier key/u],
    [
      withAttributes(key, [...before, der.sequence(OID.unstructuredName, der.setOf(der.utf8String(words)))]),
      /more than one audit key/u,
    ],
  ] as const)
    t.throws(() => parseRequest(request), { code: "csr.invalid", message });
  const long = { ...requestFor(key.publicKey), auditKey: `${"n".repeat(190)}+0a1b2c3d+AQIDBAUGBwgJCgsMDQ4PEBESExQ=` };
  await t.rejects(buildRequest(long, key.sign), { code: "csr.invalid", message: /at most 255 fit/u });
});

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
