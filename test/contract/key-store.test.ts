// The contract of the key stores: the file, and the two that a TPM protects (swtpm).
import { createPublicKey, createPrivateKey, createHash, verify } from "node:crypto";
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "tap";
import { linuxFiles } from "../../hal/linux/files/index.ts";
import type { Protection } from "../../hal/format/identity.ts";
import { createFileKeyStore, createSealedKeyStore, createTpmKeyStore } from "../../hal/linux/keys/index.ts";
import { Fault } from "../../hal/fault.ts";
import type { DurableFiles, KeyStore } from "../../hal/ports.ts";
import { needs, tpm2Provider } from "../lab/runner/needs.ts";
import { startSwtpm } from "../lab/counterparts/swtpm.ts";

interface Setting {
  readonly directory: string;
  readonly files: DurableFiles;
  readonly open: (files: DurableFiles) => KeyStore;
  readonly stop: () => Promise<void>;
}

interface Subject {
  readonly name: Protection;
  readonly skip: string | false;
  readonly set: () => Promise<Setting>;
}

async function directoryOfFiles(): Promise<{ directory: string; files: DurableFiles }> {
  const directory = join(await mkdtemp(join(tmpdir(), "keys-")), "state");
  return { directory, files: await linuxFiles(directory) };
}

const SUBJECTS: readonly Subject[] = [
  {
    name: "file",
    skip: false,
    set: async () => {
      const { directory, files } = await directoryOfFiles();
      return {
        directory,
        files,
        open: (files) => createFileKeyStore({ files }),
        stop: () => rm(dirname(directory), { recursive: true }),
      };
    },
  },
  {
    name: "tpm",
    skip: needs("swtpm", "tpm2-provider", "openssl"),
    set: async () => {
      const { directory, files } = await directoryOfFiles();
      const tpm = await startSwtpm();
      const provider = { ...(tpm2Provider() ?? { module: "" }), tcti: tpm.tcti };
      const stop = async (): Promise<void> => {
        await tpm.stop();
        await rm(dirname(directory), { recursive: true });
      };
      return { directory, files, open: (files) => createTpmKeyStore({ files, provider }), stop };
    },
  },
  {
    name: "sealed",
    skip: needs("swtpm"),
    set: async () => {
      const { directory, files } = await directoryOfFiles();
      const { tcti, stop: stopTpm } = await startSwtpm();
      const stop = async (): Promise<void> => {
        await stopTpm();
        await rm(dirname(directory), { recursive: true });
      };
      return { directory, files, open: (files) => createSealedKeyStore({ files, tcti }), stop };
    },
  },
];

for (const { name, skip, set } of SUBJECTS)
  test(`key store, ${name}`, { skip }, async (t) => {
    const { directory, files, open, stop } = await set();
    t.teardown(stop);

    await t.test("is usable, and has no key before one was created", async (t) => {
      const store = open(files);
      t.equal(store.protection, name);
      t.equal(await store.unavailable(), undefined);
      t.equal(await store.load(), undefined);
      t.same(await readdir(directory), []);
    });

    await t.test("a key that cannot be written is a key.create-failed with the reason, and leaves no key", async (t) => {
      const full: DurableFiles = {
        ...files,
        put: async () => Promise.reject(new Fault("file.no-space", "write a file: disk full")),
      };
      await t.rejects(open(full).create(), { code: "key.create-failed", message: /disk full/ });
      t.equal(await open(files).load(), undefined);
    });

    await t.test("[ID-4] create makes a P-256 key, load gives the same, and what it signs Node verifies", async (t) => {
      const made = await open(files).create();
      const loaded = await open(files).load();
      t.equal(made.protection, name);
      t.equal(made.chip === undefined, name === "file", "[ID-47] a key that a TPM protects says which");
      t.same(loaded?.chip, made.chip);
      t.equal(loaded?.fingerprint, made.fingerprint);
      t.same(loaded?.publicKey, made.publicKey);
      const key = createPublicKey({ key: Buffer.from(made.publicKey), format: "der", type: "spki" });
      t.same(key.asymmetricKeyDetails, { namedCurve: "prime256v1" });
      const data = Buffer.from("what the request says");
      for (const signer of [made, loaded])
        t.ok(verify("sha256", data, { key, dsaEncoding: "der" }, (await signer?.sign(data)) ?? new Uint8Array()));
      t.notOk(verify("sha256", Buffer.from("something else"), key, await made.sign(data)));
      t.ok(verify("sha256", Buffer.alloc(0), key, await made.sign(new Uint8Array())), "zero bytes can be signed too");
      const large = Buffer.alloc(100_000, 7);
      t.ok(verify("sha256", large, key, await made.sign(large)), "and many bytes");
    });

    await t.test("many signatures requested at once are all made", async (t) => {
      const made = await open(files).create();
      const key = createPublicKey({ key: Buffer.from(made.publicKey), format: "der", type: "spki" });
      const texts = Array.from({ length: 8 }, (_, index) => Buffer.from(`text ${index}`));
      const signatures = await Promise.all(texts.map((text) => made.sign(text)));
      for (const [index, signature] of signatures.entries())
        t.ok(verify("sha256", texts[index] ?? Buffer.alloc(0), { key, dsaEncoding: "der" }, signature));
    });

    await t.test("[ID-21] the fingerprint is SHA-256 over the DER SubjectPublicKeyInfo", async (t) => {
      const key = await open(files).load();
      t.equal(
        key?.fingerprint,
        `sha256:${createHash("sha256")
          .update(key?.publicKey ?? "")
          .digest("hex")}`,
      );
    });

    await t.test("[ID-6] create after a crash returns the existing key, not a second one", async (t) => {
      const before = await open(files).load();
      const again = await open(files).create();
      t.equal(again.fingerprint, before?.fingerprint);
      t.equal((await readdir(directory)).length, 1);
    });

    await t.test("[ID-4] the key's file is for its owner alone, and a key of the TPM is of no use outside it", async (t) => {
      const [file = ""] = await readdir(directory);
      t.equal((await stat(join(directory, file))).mode & 0o777, 0o600);
      const tlsKey = (await open(files).load())?.tlsKey() ?? "";
      if (name !== "tpm") t.equal(createPrivateKey(tlsKey).asymmetricKeyType, "ec");
      else t.throws(() => createPrivateKey(tlsKey), { code: "ERR_OSSL_UNSUPPORTED" });
    });

    await t.test("[ID-6] a damaged file is a fault, and never leads to another key", async (t) => {
      const [file = ""] = await readdir(directory);
      const good = (await files.get(file, 4096)) ?? new Uint8Array();
      for (const bad of [new Uint8Array(), good.subarray(0, 100), Buffer.from("no key at all")]) {
        await files.put(file, bad);
        const expected = { code: /^key\.(mismatch|tpm-unavailable)$/, message: /^load the device key/ };
        await t.rejects(open(files).load(), expected);
        await t.rejects(open(files).create(), expected);
        t.same(await files.get(file, 4096), bad);
      }
      await files.put(file, good);
      t.ok(await open(files).load());
    });
  });
