// The choice of the key store: the whole table, then the real stores.
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "tap";
import { linuxFiles } from "../../../../hal/linux/files/index.ts";
import {
  chooseKeyStore,
  createFileKeyStore,
  createTpmKeyStore,
  decideKeyStore,
  type FoundKeyStores,
} from "../../../../hal/linux/keys/index.ts";
import { needs, tpm2Provider } from "../../../lab/runner/needs.ts";
import { startSwtpm } from "../../../lab/counterparts/swtpm.ts";

const nothing: FoundKeyStores = { wanted: "auto", tpmKeyExists: false, fileKeyExists: false, tpmUnavailable: undefined };

test("[ID-4] without a key the TPM is chosen when it is usable, otherwise a file, and the note says why", async (t) => {
  t.same(decideKeyStore(nothing), { protection: "tpm" });
  t.same(decideKeyStore({ ...nothing, tpmUnavailable: "no device" }), { protection: "file", note: "no TPM is used: no device" });
  t.same(decideKeyStore({ ...nothing, wanted: "file" }), { protection: "file" });
  t.same(decideKeyStore({ ...nothing, wanted: "tpm" }), { protection: "tpm" });
});

test("[ID-4] a TPM that is configured by name is never replaced by a file", async (t) => {
  t.throws(() => decideKeyStore({ ...nothing, wanted: "tpm", tpmUnavailable: "no device" }), {
    code: "key.tpm-unavailable",
    message: /as configured: no device/,
  });
});

test("[ID-6] an existing key wins over the configuration", async (t) => {
  for (const wanted of ["auto", "tpm", "file"] as const) {
    t.equal(decideKeyStore({ ...nothing, wanted, tpmKeyExists: true }).protection, "tpm");
    t.equal(decideKeyStore({ ...nothing, wanted, fileKeyExists: true, tpmUnavailable: "gone" }).protection, "file");
  }
  t.match(decideKeyStore({ ...nothing, wanted: "file", tpmKeyExists: true }).note, /stays there/);
  t.match(decideKeyStore({ ...nothing, fileKeyExists: true }).note, /stays there/);
  t.same(decideKeyStore({ ...nothing, tpmKeyExists: true }), { protection: "tpm" });
  t.same(decideKeyStore({ ...nothing, wanted: "file", fileKeyExists: true }), { protection: "file" });
});

test("[ID-6] of two keys the configured one counts, and the note says that there are two", async (t) => {
  const two = { ...nothing, tpmKeyExists: true, fileKeyExists: true };
  t.match(decideKeyStore(two), { protection: "tpm", note: /another in a file/ });
  t.match(decideKeyStore({ ...two, wanted: "file" }), { protection: "file", note: /another in a file/ });
});

test("[ID-4] a machine without a TPM gets a file key and a note that says why; the next start finds the key", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "choose-"));
  t.teardown(() => rm(directory, { recursive: true }));
  const files = await linuxFiles(directory);
  const tpm = createTpmKeyStore({ files, provider: { module: "/usr/lib/tpm2.so", tcti: `device:${directory}/tpmrm0` } });
  const file = createFileKeyStore({ files });
  const first = await chooseKeyStore({ wanted: "auto", tpm, file });
  t.equal(first.store, file);
  t.equal(first.key, undefined);
  t.match(first.note, /^no TPM is used: this machine has no TPM device ".*tpmrm0"/);
  const { fingerprint } = await first.store.create();
  const next = await chooseKeyStore({ wanted: "auto", tpm, file });
  t.equal(next.store, file);
  t.equal(next.key?.fingerprint, fingerprint);
});

test(
  "[ID-6] a TPM that has vanished is a fault, never a reason for a new key in a file",
  { skip: needs("swtpm", "tpm2-provider", "openssl") },
  async (t) => {
    const directory = await mkdtemp(join(tmpdir(), "choose-"));
    t.teardown(() => rm(directory, { recursive: true }));
    const files = await linuxFiles(directory);
    const chip = await startSwtpm();
    t.teardown(chip.stop);
    const tpm = createTpmKeyStore({ files, provider: { ...(tpm2Provider() ?? { module: "" }), tcti: chip.tcti } });
    const file = createFileKeyStore({ files });
    const { store, note } = await chooseKeyStore({ wanted: "auto", tpm, file });
    t.equal(store, tpm);
    t.equal(note, undefined);
    const { fingerprint } = await store.create();
    t.equal((await chooseKeyStore({ wanted: "file", tpm, file })).key?.fingerprint, fingerprint);
    await chip.stop();
    for (const wanted of ["auto", "tpm", "file"] as const)
      await t.rejects(chooseKeyStore({ wanted, tpm, file }), { code: "key.tpm-missing", message: /does not answer/ });
    t.same(await readdir(directory), ["device-key.tss2.pem"]);
  },
);
