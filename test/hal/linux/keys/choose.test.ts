// The choice of the key store: the table with stores of the test, then the real stores.
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "tap";
import * as v from "valibot";
import { Fault } from "../../../../hal/fault.ts";
import { type BirthRecord, birthRecordSchema, type Protection } from "../../../../hal/format/identity.ts";
import { linuxFiles } from "../../../../hal/linux/files/index.ts";
import {
  type ChipKeyStore,
  chooseKeyStore,
  createFileKeyStore,
  createSealedKeyStore,
  createTpmKeyStore,
  type KeyStores,
} from "../../../../hal/linux/keys/index.ts";
import type { DeviceKey } from "../../../../hal/ports.ts";
import { createPrimary, HANDLE, STORAGE_TEMPLATE } from "../../../../hal/linux/tpm/index.ts";
import { memoryKey } from "../../../lab/fakes/keys.ts";
import { needs, tpm2Provider } from "../../../lab/runner/needs.ts";
import { openTpm, startSwtpm } from "../../../lab/counterparts/swtpm.ts";
import { temporaryDirectory } from "../../../lab/runner/temporary.ts";

interface Has {
  readonly key?: DeviceKey | Fault;
  readonly unavailable?: string;
  readonly mayPass?: boolean;
  readonly stranger?: Fault;
}

/** A store that has what the test says, and makes nothing. */
function storeWith(protection: Protection, { key, unavailable, mayPass = false, stranger }: Has): ChipKeyStore {
  return {
    protection,
    obstacle: async () => (unavailable === undefined ? undefined : { reason: unavailable, mayPass }),
    unavailable: async () => unavailable,
    stranger: async () => stranger,
    load: async () => {
      if (key instanceof Fault) throw key;
      return key;
    },
    create: async () => Promise.reject(new Fault("assert.broken", "nothing may be made")),
    remove: async () => Promise.reject(new Fault("assert.broken", "nothing may be removed")),
  };
}

const storesWith = ({ tpm = {}, sealed = {}, file = {} }: Partial<Record<Protection, Has>>): KeyStores => ({
  tpm: storeWith("tpm", tpm),
  sealed: storeWith("sealed", sealed),
  file: storeWith("file", file),
});

const keyIn = (protection: Protection): DeviceKey => ({ ...memoryKey(), protection });

const birthOf = ({ protection, fingerprint }: DeviceKey): BirthRecord =>
  v.parse(birthRecordSchema, { v: 2, id: "gw-1", source: "serial", protection, keyFingerprint: fingerprint });

test("[ID-4] [ID-49] without a key the strongest store that can be used is chosen, and the note says why not a stronger one", async (t) => {
  const choice = async (has: Partial<Record<Protection, Has>>): Promise<unknown> => {
    const { store, note } = await chooseKeyStore({ ...storesWith(has), wanted: "auto" });
    return [store.protection, note];
  };
  t.same(await choice({}), ["tpm", undefined]);
  t.same(await choice({ tpm: { unavailable: "the provider is old" } }), [
    "sealed",
    "the key is sealed by the TPM, and not inside it: the provider is old",
  ]);
  t.same(await choice({ tpm: { unavailable: "no device" }, sealed: { unavailable: "no device" } }), [
    "file",
    "no TPM is used: no device",
  ]);
  t.same(await choice({ tpm: { unavailable: "the provider is old" }, sealed: { unavailable: "passwords" } }), [
    "file",
    "no TPM is used: the provider is old; nor can a key be sealed: passwords",
  ]);
});

test("[ID-49] what is configured by name is taken or nothing is, and never something weaker", async (t) => {
  const stores = storesWith({ tpm: { unavailable: "no provider" }, sealed: { unavailable: "no device" } });
  for (const [wanted, why] of [
    ["tpm", "no provider"],
    ["sealed", "no device"],
  ] as const)
    await t.rejects(chooseKeyStore({ ...stores, wanted }), {
      code: "key.tpm-unavailable",
      message: `make the device key (${wanted}, as configured): ${why}`,
    });
  for (const wanted of ["tpm", "sealed", "file"] as const)
    t.match(await chooseKeyStore({ ...storesWith({}), wanted }), { store: { protection: wanted }, note: undefined });
});

test("[ID-6] [ID-49] an existing key wins over the configuration, and of several the strongest or the born one", async (t) => {
  const [tpm, sealed, file] = [keyIn("tpm"), keyIn("sealed"), keyIn("file")];
  for (const wanted of ["auto", "tpm", "sealed", "file"] as const)
    for (const key of [tpm, sealed, file]) {
      const found = await chooseKeyStore({ ...storesWith({ [key.protection]: { key } }), wanted });
      t.equal(found.key, key, `${key.protection} with ${wanted}`);
      if (wanted !== key.protection && !(wanted === "auto" && key === tpm)) t.match(found.note, /before, and stays there/);
      else t.equal(found.note, undefined);
    }
  const three = storesWith({ tpm: { key: tpm }, sealed: { key: sealed }, file: { key: file } });
  t.match(await chooseKeyStore({ ...three, wanted: "file" }), {
    key: tpm,
    note: /there are 3 device keys; the one in the TPM counts/,
  });
  for (const key of [tpm, sealed, file])
    t.match(await chooseKeyStore({ ...three, wanted: "auto", birth: birthOf(key) }), { key, note: /there are 3 device keys/ });
});

test("[ID-49] the note on a key says why a stronger one is not used, when that is asked for", async (t) => {
  const key = keyIn("file");
  const stores = storesWith({ tpm: { unavailable: "the provider is old" }, file: { key } });
  t.match(await chooseKeyStore({ ...stores, wanted: "auto", explain: true }), {
    note: "the device key was made in a file before, and stays there; the provider is old; a new one could be kept sealed by the TPM",
  });
  t.match(await chooseKeyStore({ ...stores, wanted: "file", explain: true }), { note: undefined });
});

test("[ID-6] [ID-47] a born key that cannot be loaded is a fault, whatever else is there; another's fault does not hide it", async (t) => {
  const [tpm, file] = [keyIn("tpm"), keyIn("file")];
  const fault = new Fault("key.tpm-missing", "gone");
  const stores = storesWith({ tpm: { key: fault }, file: { key: file } });
  await t.rejects(chooseKeyStore({ ...stores, wanted: "auto" }), fault, "before the birth is known the strongest counts");
  await t.rejects(chooseKeyStore({ ...stores, wanted: "auto", birth: birthOf(tpm) }), fault);
  t.match(await chooseKeyStore({ ...stores, wanted: "auto", birth: birthOf(file) }), { key: file });
});

test("[ID-47] the birth record shows that the TPM is missing, also when nothing is left in the state directory", async (t) => {
  for (const key of [keyIn("tpm"), keyIn("sealed")]) {
    const birth = birthOf(key);
    for (const code of ["key.tpm-missing", "key.not-this-board", "key.tpm-cleared", "key.tpm-unavailable"] as const)
      await t.rejects(
        chooseKeyStore({ ...storesWith({ [key.protection]: { stranger: new Fault(code, "why") } }), wanted: "auto", birth }),
        { code, message: `load the device key (${key.protection}, by the birth record): why` },
      );
    const found = await chooseKeyStore({ ...storesWith({}), wanted: "auto", birth });
    t.match(found, { store: { protection: key.protection }, key: undefined }, "with its TPM there, the key alone is missing");
    const other = keyIn("file");
    t.match(await chooseKeyStore({ ...storesWith({ file: { key: other } }), wanted: "auto", birth }), { key: other });
  }
  const file = birthOf(keyIn("file"));
  const away = { stranger: new Fault("key.tpm-missing", "none") };
  t.match(await chooseKeyStore({ ...storesWith({ tpm: away, sealed: away }), wanted: "auto", birth: file }), { key: undefined });
});

test("[ID-4] a machine without a TPM gets a file key and a note that says why; the next start finds the key", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "choose-"));
  t.teardown(() => rm(directory, { recursive: true }));
  const files = await linuxFiles(directory);
  const tcti = `device:${directory}/tpmrm0`;
  const tpm = createTpmKeyStore({ files, provider: { module: "/usr/lib/tpm2.so", tcti } });
  const stores = { tpm, sealed: createSealedKeyStore({ files, tcti }), file: createFileKeyStore({ files }) };
  const first = await chooseKeyStore({ ...stores, wanted: "auto" });
  t.equal(first.store, stores.file);
  t.equal(first.key, undefined);
  t.match(first.note, /^no TPM is used: this machine has no TPM device ".*tpmrm0"[^"]*$/);
  const { fingerprint } = await first.store.create();
  const next = await chooseKeyStore({ ...stores, wanted: "auto" });
  t.equal(next.store, stores.file);
  t.equal(next.key?.fingerprint, fingerprint);
});

test("[ID-48] the first key waits for a TPM that is there and in a trouble of the moment, while it may", async (t) => {
  const choice = (has: Partial<Record<Protection, Has>>, mayWait = true) =>
    chooseKeyStore({ ...storesWith(has), wanted: "auto", mayWait });
  const busy = { unavailable: "busy", mayPass: true };
  const waits = { code: "key.tpm-unavailable", message: /which is there: busy; it is tried again/u };
  await t.rejects(choice({ tpm: busy, sealed: busy }), waits);
  await t.rejects(choice({ tpm: { unavailable: "no provider" }, sealed: busy }), waits);
  t.match(await choice({ tpm: busy, sealed: busy }, false), { store: { protection: "file" }, note: "no TPM is used: busy" });
  t.match(await choice({ tpm: { unavailable: "none" }, sealed: { unavailable: "none" } }), { store: { protection: "file" } });
  const key = keyIn("file");
  t.match(await choice({ tpm: busy, file: { key } }), { key: { fingerprint: key.fingerprint } }, "a key that exists does not");
});

test(
  "[ID-48] with its slots full by another program, a real TPM is waited for",
  { skip: needs("swtpm", "tpm2-provider") },
  async (t) => {
    const files = await linuxFiles(await temporaryDirectory(t));
    const state = await temporaryDirectory(t);
    const chip = await startSwtpm({ directory: state });
    t.teardown(chip.stop);
    const { tcti } = chip;
    const stores = {
      tpm: createTpmKeyStore({ files, provider: { ...(tpm2Provider() ?? { module: "" }), tcti } }),
      sealed: createSealedKeyStore({ files, tcti }),
      file: createFileKeyStore({ files }),
    };
    {
      await using tpm = await openTpm(chip);
      for (const _ of [1, 2, 3]) await createPrimary(tpm, HANDLE.owner, STORAGE_TEMPLATE);
    }
    await t.rejects(chooseKeyStore({ ...stores, wanted: "auto", mayWait: true }), {
      code: "key.tpm-unavailable",
      message: /slots/u,
    });
    const { store, note } = await chooseKeyStore({ ...stores, wanted: "auto" });
    t.match(
      [store.protection, note],
      ["file", /fill its slots: end them/u],
      "and no key is said not to be lost where none was made",
    );
    await chip.cut();
    const again = await startSwtpm({ directory: state, port: chip.port });
    t.teardown(again.stop);
    t.match(await chooseKeyStore({ ...stores, wanted: "auto", mayWait: true }), { store: { protection: "tpm" } });
  },
);

test(
  "[ID-46] [ID-49] without OpenSSL's provider the chip seals the key, which stays sealed when the provider comes",
  { skip: needs("swtpm", "tpm2-provider", "openssl") },
  async (t) => {
    const directory = await mkdtemp(join(tmpdir(), "choose-"));
    t.teardown(() => rm(directory, { recursive: true }));
    const files = await linuxFiles(directory);
    const { tcti, stop } = await startSwtpm();
    t.teardown(stop);
    const storesOf = (module: string): KeyStores => ({
      tpm: createTpmKeyStore({ files, provider: { ...tpm2Provider(), module, tcti } }),
      sealed: createSealedKeyStore({ files, tcti }),
      file: createFileKeyStore({ files }),
    });
    const first = await chooseKeyStore({ ...storesOf("/nowhere/tpm2.so"), wanted: "auto" });
    t.match(first, {
      store: { protection: "sealed" },
      note: /not inside it: OpenSSL's tpm2 provider is not at "\/nowhere\/tpm2\.so"/,
    });
    const { fingerprint } = await first.store.create();
    const later = await chooseKeyStore({ ...storesOf(tpm2Provider()?.module ?? ""), wanted: "auto", explain: true });
    t.match(later, { key: { protection: "sealed", fingerprint }, note: /stays there; a new one could be kept in the TPM$/ });
  },
);

test(
  "[ID-6] a TPM that has vanished is a fault, never a reason for a new key in a file",
  { skip: needs("swtpm", "tpm2-provider", "openssl") },
  async (t) => {
    const directory = await mkdtemp(join(tmpdir(), "choose-"));
    t.teardown(() => rm(directory, { recursive: true }));
    const files = await linuxFiles(directory);
    const chip = await startSwtpm();
    t.teardown(chip.stop);
    const { tcti } = chip;
    const tpm = createTpmKeyStore({ files, provider: { ...(tpm2Provider() ?? { module: "" }), tcti } });
    const stores = { tpm, sealed: createSealedKeyStore({ files, tcti }), file: createFileKeyStore({ files }) };
    const { store, note } = await chooseKeyStore({ ...stores, wanted: "auto" });
    t.equal(store, tpm);
    t.equal(note, undefined);
    const key = await store.create();
    t.equal((await chooseKeyStore({ ...stores, wanted: "file" })).key?.fingerprint, key.fingerprint);
    await chip.stop();
    for (const wanted of ["auto", "tpm", "sealed", "file"] as const)
      for (const birth of [undefined, birthOf(key)])
        await t.rejects(chooseKeyStore({ ...stores, wanted, birth }), { code: "key.tpm-missing", message: /does not answer/ });
    t.same(await readdir(directory), ["device-key.tss2.pem"]);
    await rm(join(directory, "device-key.tss2.pem"));
    await t.rejects(chooseKeyStore({ ...stores, wanted: "auto", birth: birthOf(key) }), { code: "key.tpm-missing" });
    t.same(await readdir(directory), [], "nothing was made");
  },
);
