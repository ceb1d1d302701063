import { test } from "tap";
import * as v from "valibot";
import { openTrustStore } from "../../../ota/trust/index.ts";
import { fakeFiles } from "../../lab/fakes/files.ts";
import { type LabKey, labKey, labRepository, type LabRepository, NOW_MS } from "../../lab/counterparts/repository.ts";

const file = v.object({ signatures: v.array(v.object({ keyid: v.string(), sig: v.string() })), signed: v.unknown() });

function tamper(repository: LabRepository, name: string, change: (content: v.InferOutput<typeof file>) => void): void {
  const content = v.parse(file, JSON.parse(Buffer.from(repository.files.get(name) ?? []).toString()));
  change(content);
  repository.files.set(name, Buffer.from(JSON.stringify(content)));
}

async function refresh(repository: LabRepository) {
  const files = fakeFiles();
  const store = await openTrustStore(files, repository.imageRoot);
  return store.refresh({ fetch: repository.fetch, nowMs: NOW_MS }).then(() => files);
}

/** Gives the snapshot role these keys and this threshold, in a new root. */
function snapshotKeys(repository: LabRepository, keys: readonly LabKey[], threshold: number): void {
  for (const { id, key } of keys) repository.root.keys[id] = key;
  repository.root.roles.snapshot = { keyids: keys.map(({ id }) => id), threshold };
  repository.signers.set("snapshot", [...keys]);
  repository.publish("root");
}

for (const kind of ["ed25519", "ecdsa", "rsa", "ml-dsa-65"] as const) {
  test(`[OTA-2] a ${kind} key signs, and its signature on other bytes does not count`, async (t) => {
    const repository = labRepository();
    snapshotKeys(repository, [labKey(kind)], 1);
    repository.publish("snapshot");
    await t.resolves(refresh(repository));
    tamper(repository, "2.snapshot.json", (content) => Object.assign(content.signed ?? {}, { expires: "2031-01-01T00:00:00Z" }));
    await t.rejects(refresh(repository), { code: "trust.bad-signature", message: /snapshot.*5\.5\.3/u });
  });
}

test("[OTA-2] hybrid: one classical and one post-quantum key with threshold 2; one of them alone is not enough", async (t) => {
  const repository = labRepository();
  const keys = [labKey("ed25519"), labKey("ml-dsa-65")];
  snapshotKeys(repository, keys, 2);
  repository.publish("snapshot");
  await t.resolves(refresh(repository));
  for (const key of keys) {
    repository.signers.set("snapshot", [key]);
    repository.publish("snapshot");
    await t.rejects(refresh(repository), { code: "trust.bad-signature", message: /signed by 1 of the keys.*2 are needed/u });
  }
});

test("[OTA-2] a file with two signatures under one key id is refused (TUF 4.2)", async (t) => {
  const repository = labRepository();
  tamper(repository, "timestamp.json", ({ signatures }) => signatures.push(...signatures));
  await t.rejects(refresh(repository), { code: "trust.invalid", message: /each key id once/u });
});

test("[OTA-2] one key under two ids is one key", async (t) => {
  const repository = labRepository();
  const one = labKey();
  snapshotKeys(repository, [one, { ...one, id: "another-name-of-it" }], 2);
  repository.publish("snapshot");
  await t.rejects(refresh(repository), { code: "trust.bad-signature", message: /signed by 1 of/u });
});

test("[OTA-2] wrong, empty and unknown signatures beside enough good ones do no harm", async (t) => {
  const repository = labRepository();
  const others = [labKey(), labKey("ecdsa"), labKey("rsa"), labKey("ml-dsa-65")];
  snapshotKeys(repository, [...others, ...repository.signersOf("snapshot")], 1);
  repository.publish("snapshot");
  tamper(repository, "2.snapshot.json", ({ signatures }) => {
    const bad = ["", "zz", "00", "30450220"];
    for (const [index, sig] of bad.entries()) Object.assign(signatures[index] ?? {}, { sig });
    signatures.push({ keyid: "nobody's", sig: "00ff" });
  });
  await t.resolves(refresh(repository));
});

test("[OTA-2] keys of unknown kinds and malformed keys never count and never break parsing", async (t) => {
  const repository = labRepository();
  const [good] = repository.signersOf("snapshot");
  const odd = [
    { keytype: "dilithium9", scheme: "dilithium9/7", keyval: { public: "x" } },
    { keytype: "ml-dsa", scheme: "ml-dsa-65/2", keyval: { public: "x" } },
    { keytype: "sphincs", scheme: "s", keyval: ["a", "list"], extra: { deep: [1] } },
    { keytype: "ed25519", scheme: "ed25519", keyval: { public: "short" } },
    {
      keytype: "ecdsa",
      scheme: "ecdsa-sha2-nistp256",
      keyval: { public: "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n" },
    },
    { keytype: "rsa", scheme: "rsassa-pss-sha256", keyval: { public: labKey("ecdsa").key.keyval } },
    { keytype: "rsa", scheme: "rsassa-pss-sha256", keyval: labKey("ecdsa").key.keyval },
  ];
  for (const [index, key] of odd.entries()) {
    repository.root.keys[`odd-${index}`] = key;
    repository.root.roles.snapshot.keyids.push(`odd-${index}`);
  }
  repository.publish("root", "snapshot");
  await t.resolves(refresh(repository), "the good key is enough");
  repository.signers.set("snapshot", good === undefined ? [] : odd.map((_, index) => ({ ...good, id: `odd-${index}` })));
  repository.publish("snapshot");
  await t.rejects(refresh(repository), { code: "trust.bad-signature", message: /signed by 0 of/u });
});

test("[OTA-2] names that every object inherits are no keys and no roles", async (t) => {
  for (const name of ["__proto__", "constructor", "toString", "hasOwnProperty"]) {
    const repository = labRepository();
    repository.root.roles.snapshot.keyids = [name];
    repository.signers.set(
      "snapshot",
      repository.signersOf("snapshot").map((key) => ({ ...key, id: name })),
    );
    repository.publish("root", "snapshot");
    await t.rejects(refresh(repository), { code: "trust.bad-signature", message: /signed by 0 of/u }, name);
    const store = await openTrustStore(fakeFiles(), labRepository().imageRoot);
    t.equal(await store.stored.find(name), undefined);
  }
});

test("[OTA-2] a threshold above the number of keys cannot be met, and one of zero is invalid", async (t) => {
  const repository = labRepository();
  repository.root.roles.snapshot.threshold = 2;
  repository.publish("root");
  await t.rejects(refresh(repository), { code: "trust.bad-signature" });
  repository.root.roles.snapshot.threshold = 0;
  repository.publish("root");
  await t.rejects(refresh(repository), { code: "trust.invalid", message: /threshold/u });
});

test("[OTA-2] an RSA key below 2048 bits does not count (TUF 4.2)", async (t) => {
  const { generateKeyPairSync } = await import("node:crypto");
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 1024 });
  const repository = labRepository();
  const key = {
    keytype: "rsa",
    scheme: "rsassa-pss-sha256",
    keyval: { public: publicKey.export({ type: "spki", format: "pem" }) },
  };
  repository.root.keys["small"] = key;
  repository.root.roles.snapshot = { keyids: ["small"], threshold: 1 };
  repository.publish("root");
  const { sign, constants } = await import("node:crypto");
  const { canonicalBytes } = await import("../../../ota/trust/format/index.ts");
  const message = canonicalBytes(repository.snapshot);
  const sig = sign("sha256", message, { key: privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 });
  tamper(repository, "1.snapshot.json", (content) => {
    content.signatures = [{ keyid: "small", sig: sig.toString("hex") }];
  });
  await t.rejects(refresh(repository), { code: "trust.bad-signature", message: /signed by 0 of/u });
});
