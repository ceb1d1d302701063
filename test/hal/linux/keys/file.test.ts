// What the contract suite cannot ask of both stores: keys of another kind in the file.
import { generateKeyPairSync } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "tap";
import { linuxFiles } from "../../../../hal/linux/files/index.ts";
import { createFileKeyStore, publicHalf } from "../../../../hal/linux/keys/index.ts";

const otherKinds = {
  "P-384": generateKeyPairSync("ec", { namedCurve: "P-384" }),
  SM2: generateKeyPairSync("ec", { namedCurve: "SM2" }), // its encoding is as long as that of P-256
  secp256k1: generateKeyPairSync("ec", { namedCurve: "secp256k1" }),
  "RSA-2048": generateKeyPairSync("rsa", { modulusLength: 2048 }),
  Ed25519: generateKeyPairSync("ed25519"),
};

test("[ID-4] a key that is not P-256 is refused, and stays in its file", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "file-key-"));
  t.teardown(() => rm(directory, { recursive: true }));
  const files = await linuxFiles(directory);
  const store = createFileKeyStore({ files });
  for (const [kind, { privateKey }] of Object.entries(otherKinds)) {
    const pem = Buffer.from(privateKey.export({ type: "pkcs8", format: "pem" }));
    await files.put("device-key.pem", pem);
    await t.rejects(store.load(), { code: "key.mismatch", message: /is not a P-256 key/ }, kind);
    await t.rejects(store.create(), { code: "key.mismatch" }, kind);
    t.same(await files.get("device-key.pem", 4096), pem);
  }
});

test("[ID-5] the public half is judged by its encoding", async (t) => {
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  t.match(publicHalf(publicKey.export({ type: "spki", format: "pem" }), "a key").fingerprint, /^sha256:[0-9a-f]{64}$/);
  for (const [kind, { publicKey }] of Object.entries(otherKinds))
    t.throws(() => publicHalf(publicKey.export({ type: "spki", format: "pem" }), "a key"), { code: "key.mismatch" }, kind);
  t.throws(() => publicHalf("words", "a key"), { code: "key.mismatch", message: "load a key: it is not a public key" });
});
