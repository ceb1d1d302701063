// What is sealed for the owner, against an implementation of others: `jose`.
import { createPrivateKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import * as jose from "jose";
import { test } from "tap";
import { Fault } from "../../../../hal/fault.ts";
import {
  concatKdf,
  openSealed,
  parseEscrowKey,
  publicJwkOf,
  sealedKeyId,
  sealFor,
} from "../../../../warden/escrow/format/index.ts";

const SECRET = Buffer.from("the passwords of one chip");

function owner() {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const jwk = publicJwkOf(publicKey);
  return { privateKey, jwk, key: parseEscrowKey(Buffer.from(JSON.stringify(jwk)), "escrow.json") };
}

const ours = owner();

/** Sealed by `jose`, with what else an attacker or a mistake may put into the header. */
async function joseSealed(
  header: jose.CompactJWEHeaderParameters,
  key: KeyObject | jose.CryptoKey | jose.JWK = ours.jwk,
): Promise<string> {
  return await new jose.CompactEncrypt(SECRET).setProtectedHeader(header).encrypt(key);
}

const GOOD = { alg: "ECDH-ES", enc: "A256GCM", kid: ours.key.id } as const;

test("[ID-54] what we seal is a JWE that jose opens with the owner's private key", async (t) => {
  const sealed = sealFor(ours.key, SECRET);
  const { plaintext, protectedHeader } = await jose.compactDecrypt(
    sealed,
    await jose.importJWK({ ...ours.jwk, d: privatePart(ours.privateKey) }, "ECDH-ES"),
  );
  t.same(Buffer.from(plaintext), SECRET);
  t.match(protectedHeader, { alg: "ECDH-ES", enc: "A256GCM", kid: await jose.calculateJwkThumbprint(ours.jwk) });
  t.equal(sealedKeyId(sealed), ours.key.id);
  t.not(sealFor(ours.key, SECRET), sealed, "each sealing has an ephemeral key of its own");
});

test("[ID-54] what jose seals in this form, we open", async (t) => {
  t.same(Buffer.from(openSealed(await joseSealed(GOOD), ours.privateKey)), SECRET);
});

test("[ID-54] the key derivation gives the key of RFC 7518, appendix C", async (t) => {
  const secret = Uint8Array.from([
    158, 86, 217, 29, 129, 113, 53, 211, 114, 131, 66, 131, 191, 132, 38, 156, 251, 49, 110, 163, 218, 128, 106, 72, 246, 218,
    167, 121, 140, 254, 144, 196,
  ]);
  const derived = concatKdf(secret, "A128GCM", Buffer.from("Alice"), Buffer.from("Bob"), 128);
  t.equal(Buffer.from(derived).toString("base64url"), "VqqN6vgjbSBcIijNcacQGg");
});

test("[ID-54] another key does not open it, and the message names both keys", async (t) => {
  const other = owner();
  t.throws(() => openSealed(sealFor(ours.key, SECRET), other.privateKey), {
    code: "escrow.not-opened",
    message: new RegExp(`${ours.key.id}.*${other.key.id}`, "u"),
  });
  // the id in the header is only a name: with it changed, the tag does not fit
  const renamed = await joseSealed({ ...GOOD, kid: other.key.id });
  t.throws(() => openSealed(renamed, other.privateKey), { code: "escrow.not-opened" });
});

test("[ID-54] each character of a sealed text counts", async (t) => {
  const sealed = sealFor(ours.key, SECRET);
  for (let at = 0; at < sealed.length; at += 1) {
    const changed = `${sealed.slice(0, at)}${sealed[at] === "A" ? "B" : "A"}${sealed.slice(at + 1)}`;
    const fault = faultOf(() => openSealed(changed, ours.privateKey));
    t.ok(fault.code === "escrow.invalid" || fault.code === "escrow.not-opened", `character ${at}: ${fault.code}`);
  }
  for (const length of [0, 1, sealed.length - 1, sealed.length - 23, sealed.indexOf(".")])
    t.throws(() => openSealed(sealed.slice(0, length), ours.privateKey), { code: "escrow.invalid" });
  t.throws(() => openSealed(`${sealed}\n`, ours.privateKey), { code: "escrow.invalid" });
});

test("[ID-54] another algorithm, a compressed text, critical members and further recipients are refused", async (t) => {
  const header = (members: object): string => {
    const [, , ...rest] = sealFor(ours.key, SECRET).split(".");
    return [Buffer.from(JSON.stringify({ ...GOOD, epk: ours.jwk, ...members })).toString("base64url"), "", ...rest].join(".");
  };
  const refused = [
    await joseSealed({ ...GOOD, alg: "ECDH-ES+A256KW" }),
    await joseSealed({ ...GOOD, enc: "A128GCM" }),
    await joseSealed({ ...GOOD, typ: "JWE" }),
    await joseSealed({ ...GOOD, apu: "QQ" }),
    header({ zip: "DEF" }),
    header({ crit: ["b64"], b64: false }),
    header({ recipients: [{ header: GOOD }] }),
    header({ alg: "dir" }),
    header({ jku: "https://example.com/keys" }),
    JSON.stringify(
      await new jose.GeneralEncrypt(SECRET)
        .setProtectedHeader({ enc: "A256GCM" })
        .addRecipient(ours.jwk)
        .setUnprotectedHeader({ alg: "ECDH-ES+A256KW" })
        .encrypt(),
    ),
    JSON.stringify(await new jose.FlattenedEncrypt(SECRET).setProtectedHeader(GOOD).encrypt(ours.jwk)),
    "a".repeat(1_048_576),
    `${"A".repeat(1_048_576)}..AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAA`,
  ];
  for (const text of refused) {
    const fault = faultOf(() => openSealed(text, ours.privateKey));
    t.equal(fault.code, "escrow.invalid", fault.message);
  }
});

test("[ID-54] an ephemeral key off the curve, at infinity or on another curve is refused", async (t) => {
  const zero = Buffer.alloc(32).toString("base64url");
  const p384 = generateKeyPairSync("ec", { namedCurve: "P-384" }).publicKey.export({ format: "jwk" });
  const keys = [
    { ...ours.jwk, y: ours.jwk.x },
    { ...ours.jwk, x: zero, y: zero },
    { ...ours.jwk, x: Buffer.alloc(32, 0xff).toString("base64url") },
    { ...ours.jwk, crv: "P-384" },
    { ...ours.jwk, d: zero },
    p384,
    { kty: "OKP", crv: "X25519", x: zero },
  ];
  for (const epk of keys) {
    const [, , ...rest] = sealFor(ours.key, SECRET).split(".");
    const text = [Buffer.from(JSON.stringify({ ...GOOD, epk })).toString("base64url"), "", ...rest].join(".");
    t.throws(() => openSealed(text, ours.privateKey), { code: "escrow.invalid" }, JSON.stringify(epk));
  }
});

test("[ID-54] the owner's key in the image is one public key on P-256, and its id is checked", async (t) => {
  const read = (members: object) => () => parseEscrowKey(Buffer.from(JSON.stringify(members)), "escrow.json");
  t.equal(read({ ...ours.jwk, use: "enc", kid: ours.key.id })().id, await jose.calculateJwkThumbprint(ours.jwk));
  const p384 = generateKeyPairSync("ec", { namedCurve: "P-384" }).publicKey.export({ format: "jwk" });
  for (const wrong of [
    { ...ours.jwk, kid: "another" },
    { ...ours.jwk, use: "sig" },
    { ...ours.jwk, d: privatePart(ours.privateKey) },
    { ...ours.jwk, y: ours.jwk.x },
    p384,
    [ours.jwk],
    {},
  ])
    t.throws(read(wrong), { code: "escrow.key-unusable", message: /sallyport-release escrow-key/u }, JSON.stringify(wrong));
  t.throws(
    () => publicJwkOf(createPrivateKey(generateKeyPairSync("ed25519").privateKey.export({ format: "pem", type: "pkcs8" }))),
    {
      code: "escrow.key-unusable",
    },
  );
});

function privatePart(key: KeyObject): string {
  return key.export({ format: "jwk" }).d ?? "";
}

function faultOf(work: () => unknown): Fault {
  try {
    work();
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
  return new Fault("assert.broken", "it was accepted");
}
