// Known answers: structures that tpm2-tools and the TCG's formats give, and derivations that
// OpenSSL computes.
import { readFileSync } from "node:fs";
import { test } from "tap";
import * as v from "valibot";
import {
  ALG,
  ATTESTATION_TEMPLATE,
  nameOf,
  OBJECT,
  publicKeyObject,
  readAttestation,
  RSA_STORAGE_TEMPLATE,
  sealTemplate,
  SIGNING_TEMPLATE,
  STORAGE_TEMPLATE,
} from "../../../../hal/linux/tpm/index.ts";
import { readCapabilityData } from "../../../../hal/linux/tpm/chip.ts";
import { cipherParameter, kdfA, kdfE } from "../../../../hal/linux/tpm/kdf.ts";
import { nvName, readNvPublic, writeNvPublic } from "../../../../hal/linux/tpm/nv.ts";
import { readPcrSelection, writePcrSelection } from "../../../../hal/linux/tpm/pcr.ts";
import { passwordCommand, readAuthResponse } from "../../../../hal/linux/tpm/session.ts";
import {
  digestOf,
  readSignature,
  readSizedPublic,
  writeDigest,
  writePoint,
  writePublic,
  writeScheme,
  writeSensitiveCreate,
  writeSignature,
  writeSizedPublic,
} from "../../../../hal/linux/tpm/structures.ts";
import { join, MESSAGE_BYTES_MAX, sized, u16, u32, u8, WireReader } from "../../../../hal/linux/tpm/wire.ts";

const vectors = v.parse(
  v.object({
    hex: v.record(v.string(), v.string()),
    quote: v.object({ clock: v.string(), resets: v.number(), restarts: v.number(), firmware: v.string() }),
  }),
  JSON.parse(readFileSync(new URL("../../../vectors/tpm2-structures.json", import.meta.url), "utf8")),
);

const bytes = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, "hex"));
const hex = (value: Uint8Array): string => Buffer.from(value).toString("hex");
const vector = (name: string): Uint8Array => bytes(vectors.hex[name] ?? "");
const readerOf = (name: string): WireReader => new WireReader(vector(name), name);
const OURS = OBJECT.fixedTpm | OBJECT.fixedParent | OBJECT.sensitiveDataOrigin | OBJECT.userWithAuth;

test("public areas of tpm2-tools are read as they were made, and written back the same", async (t) => {
  const kinds = {
    "storage.pub": { type: "ecc", attributes: OURS | OBJECT.restricted | OBJECT.decrypt, cipher: "aes128-cfb" },
    "sign.pub": {
      type: "ecc",
      attributes: OURS | OBJECT.noDa | OBJECT.sign,
      scheme: { algorithm: "ecdsa", hash: ALG.sha256 },
    },
    "rsasign.pub": {
      type: "rsa",
      attributes: OURS | OBJECT.sign,
      cipher: "none",
      scheme: { algorithm: "rsassa", hash: ALG.sha256 },
      keyBits: 2048,
      exponent: 0,
    },
    "rsastorage.pub": { type: "rsa", cipher: "aes128-cfb", scheme: { algorithm: "null" }, keyBits: 2048 },
    "seal.pub": {
      type: "keyed-hash",
      attributes: OBJECT.fixedTpm | OBJECT.fixedParent | OBJECT.userWithAuth,
      hmacHash: undefined,
    },
    "hmac.pub": { type: "keyed-hash", attributes: OURS | OBJECT.sign, hmacHash: ALG.sha256 },
  };
  for (const [name, expected] of Object.entries(kinds)) {
    const reader = readerOf(name);
    const area = readSizedPublic(reader);
    reader.end();
    t.match(area, { nameAlg: ALG.sha256, authPolicy: new Uint8Array(), ...expected }, name);
    t.equal(hex(writeSizedPublic(area)), vectors.hex[name], name);
  }
});

test("the Name of an object and of an index is the one that tpm2-tools tells", async (t) => {
  for (const name of ["sign", "rsastorage"])
    t.equal(hex(nameOf(readSizedPublic(readerOf(`${name}.pub`)))), vectors.hex[`${name}.name`]);
  const area = { index: 0x0180_0001, attributes: 0x0006_0006, authPolicy: new Uint8Array(), bytes: 40 };
  t.equal(hex(nvName(area)), vectors.hex["nv.name"]);
  t.equal(hex(writeNvPublic(area)), "01800001000b0006000600000028");
  t.same(readNvPublic(new WireReader(writeNvPublic(area), "an index")), area);
});

test("public keys of the TPM are keys of node:crypto, and sealed data is none", async (t) => {
  const keyOf = (name: string) => publicKeyObject(readSizedPublic(readerOf(name)));
  t.match(keyOf("sign.pub").asymmetricKeyDetails, { namedCurve: "prime256v1" });
  t.match(keyOf("rsasign.pub").asymmetricKeyDetails, { modulusLength: 2048, publicExponent: 65_537n });
  t.throws(() => keyOf("seal.pub"), { code: "tpm.invalid", message: /P-256 or RSA was expected/ });
  t.throws(() => publicKeyObject(SIGNING_TEMPLATE), { code: "tpm.protocol", message: /is no key/ });
});

test("[ID-40] the templates are these bytes", async (t) => {
  t.equal(hex(writePublic(STORAGE_TEMPLATE)), "0023000b00030472000000060080004300100003001000000000");
  t.equal(hex(writePublic(SIGNING_TEMPLATE)), "0023000b000404720000001000100003001000000000");
  t.equal(hex(writePublic(ATTESTATION_TEMPLATE)), "0023000b00050472000000100018000b0003001000000000");
  t.equal(hex(writePublic(RSA_STORAGE_TEMPLATE)), "0001000b00030472000000060080004300100800000000000000");
  t.equal(hex(writePublic(sealTemplate())), "0008000b00000452000000100000");
  t.equal(hex(writePublic(sealTemplate(bytes("aabb")))), "0008000b000004120002aabb00100000");
});

test("signatures of tpm2-tools are read, and written back the same", async (t) => {
  const ecdsa = readSignature(readerOf("sign.sig"));
  t.match(ecdsa, { algorithm: "ecdsa", hash: ALG.sha256 });
  const rsa = readSignature(readerOf("rsasign.sig"));
  t.match(rsa, { algorithm: "rsassa", hash: ALG.sha256 });
  t.equal(hex(writeSignature(ecdsa)), vectors.hex["sign.sig"]);
  t.equal(hex(writeSignature(rsa)), vectors.hex["rsasign.sig"]);
});

test("a quote and a certificate of a key are read as tpm2_print shows them", async (t) => {
  const { clock, firmware, attested, extraData } = readAttestation(vector("quote.msg"));
  const { quote } = vectors;
  t.same(clock, { clockMs: BigInt(quote.clock), resets: quote.resets, restarts: quote.restarts, isSafe: true });
  t.equal(firmware.toString(16), quote.firmware);
  t.equal(hex(extraData), "00112233");
  const digest = vector("quote.pcrDigest");
  t.same(attested, { kind: "quote", selections: [{ hash: ALG.sha256, registers: [0, 7, 10] }], digest });
  const certificate = readAttestation(vector("cert.msg"));
  t.match(certificate.attested, { kind: "certify", name: vector("sign.name") });
  t.throws(() => readAttestation(vector("cert.msg").with(0, 0)), { code: "tpm.protocol", message: /magic/ });
  t.throws(() => readAttestation(vector("cert.msg").with(5, 0x14)), { code: "tpm.protocol", message: /kind/ });
});

test("small structures are these bytes", async (t) => {
  const selections = [
    { hash: ALG.sha256, registers: [0, 7, 10] },
    { hash: ALG.sha1, registers: [23] },
  ];
  t.equal(hex(writePcrSelection(selections)), "00000002000b03810400000403000080");
  t.same(readPcrSelection(new WireReader(writePcrSelection(selections), "a selection")), selections);
  t.throws(() => writePcrSelection([{ hash: ALG.sha256, registers: [24] }]), { code: "tpm.invalid" });
  t.equal(hex(writeSensitiveCreate(bytes("01"), bytes("0203"))), "000700010100020203");
  t.equal(hex(writePoint(bytes("01"), bytes("02"))), "000101000102");
  t.equal(hex(writeScheme({ algorithm: "ecdsa", hash: ALG.sha256 })), "0018000b");
  t.equal(hex(writeScheme({ algorithm: "null" })), "0010");
  t.equal(hex(writeDigest(ALG.sha1, new Uint8Array(20))), `0004${"00".repeat(20)}`);
  t.equal(hex(passwordCommand(bytes("aa"))), "400000090000010001aa");
  const auth = readAuthResponse(new WireReader(bytes("0002aabb010001cc"), "an authorization"));
  t.same(auth, { nonce: bytes("aabb"), attributes: 1, hmac: bytes("cc") });
});

test("capabilities of each kind are read", async (t) => {
  const read = (content: string): unknown => {
    const reader = new WireReader(bytes(content), "a capability");
    const data = readCapabilityData(reader);
    reader.end();
    return data;
  };
  t.same(read("0000000000000001000100000009"), { kind: "algorithms", items: [{ algorithm: ALG.rsa, attributes: 9 }] });
  t.same(read("00000001000000028100000181010001"), { kind: "handles", items: [0x8100_0001, 0x8101_0001] });
  t.same(read("00000002000000010440011f"), { kind: "commands", items: [0x011f] });
  t.same(read("00000006000000010000010549424d00"), { kind: "properties", items: [{ property: 0x105, value: 0x4942_4d00 }] });
  t.throws(() => read("0000000500000000"), { code: "tpm.protocol" });
});

test("KDFa and KDFe give what OpenSSL's KBKDF and SSKDF give", async (t) => {
  const [key, partyU, partyV] = [bytes("000102030405060708090a0b0c0d0e0f"), bytes("a0a1a2a3"), bytes("b0b1")];
  t.equal(
    hex(kdfA(key, "CFB", partyU, partyV, 48)),
    "4c598efb27f423e92f9f9c297083581e70158858f44739ab4f9ae42c5ceb6beadcb31b48bacd7df15bd47c5a5cfd65da",
  );
  t.equal(
    hex(kdfE(ALG.sha256, key, "SECRET", partyU, partyV, 40)),
    "a91289e97f79c38d7ea83ff835ef2d253fa5eda1221102cf17f3ee22492aab623ec831fd1872c8e1",
  );
  t.equal(
    hex(kdfE(ALG.sha384, key, "SECRET", partyU, partyV, 48)),
    "1922f1c589c2339fd77ac674f491e428b971a754e8a49a58393624c5df2d5d57ac3b3b705d3347af7967032de7f506ad",
  );
  const content = bytes("00112233445566778899");
  const secret = cipherParameter("encrypt", key, partyU, partyV, content);
  t.not(hex(secret), hex(content));
  t.same(cipherParameter("decrypt", key, partyU, partyV, secret), content);
});

test("what is too large or too short is refused before anything is made of it", async (t) => {
  t.throws(() => join(new Uint8Array(MESSAGE_BYTES_MAX), u8(0)), { code: "tpm.invalid" });
  t.throws(() => u16(0x1_0000), { code: "assert.broken" });
  t.throws(() => u32(-1), { code: "assert.broken" });
  const reader = (content: string): WireReader => new WireReader(bytes(content), "a test");
  t.throws(() => reader("ffff00").sized(), {
    code: "tpm.protocol",
    message: /a test is malformed: it has 65535 bytes at offset 2, and 1 are left/,
  });
  t.throws(() => reader("ffffffff00").list(1, (item) => item.u8()), {
    code: "tpm.protocol",
    message: /a list of 4294967295 items/,
  });
  t.throws(() => reader("000200").within((inner) => inner.u8()), { code: "tpm.protocol" });
  t.throws(() => reader("00020000").within((inner) => inner.u8()), { code: "tpm.protocol", message: /1 bytes too many/ });
  t.equal(reader("ffffffffffffffff").u64(), 0xffff_ffff_ffff_ffffn);
  t.same(sized(bytes("aabb")), bytes("0002aabb"));
  t.throws(() => digestOf(0x27), { code: "tpm.invalid", message: /0x27 of the TPM is not supported/ });
});

test("objects of kinds that this layer does not know are refused by name", async (t) => {
  const refused = (content: string, message: RegExp): void => {
    t.throws(() => readSizedPublic(new WireReader(sized(bytes(content)), "a public area")), { code: "tpm.protocol", message });
  };
  refused("0025000b000000000000", /an object of type 0x25/);
  refused("0023000b0004047200000010001000040010", /curve 0x4; P-256/);
  refused("0023000b0004047200000010001000030020", /key derivation 0x20/);
  refused("0023000b00040472000000100019000b00030010", /scheme 0x19/);
  refused("0023000b000304720000000601000043", /cipher 0x6 with 256 bits/);
  refused("0008000b000004520000000a", /scheme 0xa; HMAC or none/);
  refused(`0023000b00040472000000100010000300100021${"00".repeat(33)}0000`, /a coordinate of 33 bytes/);
});
