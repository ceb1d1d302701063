// The life of a key in a TPM: power cycles, another chip, other programs on the chip.
import { createPublicKey, verify } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Test, test } from "tap";
import { linuxFiles } from "../../../../hal/linux/files/index.ts";
import { type ChipKeyStore, createTpmKeyStore, type TpmKeyStoreOptions } from "../../../../hal/linux/keys/index.ts";
import {
  createPrimary,
  dictionaryAttackLockReset,
  evictControl,
  HANDLE,
  PERSISTENT,
  readTss2Pem,
  RSA_STORAGE_TEMPLATE,
  STORAGE_TEMPLATE,
  writeTss2Pem,
} from "../../../../hal/linux/tpm/index.ts";
import { needs, tpm2Provider } from "../../../lab/runner/needs.ts";
import { openTpm, startSwtpm } from "../../../lab/counterparts/swtpm.ts";
import { keepStorageRoot, lockOut, setPassword } from "../../../lab/counterparts/tpm-troubles.ts";
import { providerCommands } from "../../../lab/counterparts/tpm2-provider.ts";
import { openTpm2Tools } from "../../../lab/counterparts/tpm2-tools.ts";

const skip = needs("swtpm", "tpm2-provider", "openssl");
const withTools = needs("swtpm", "tpm2-provider", "openssl", "tpm2-tools");
const installed = tpm2Provider() ?? { module: "/nowhere/tpm2.so" };
const KEY_FILE = "device-key.tss2.pem";
const STORAGE_ATTRIBUTES = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt";

type More = Pick<TpmKeyStoreOptions, "parent">;

async function stateOf(t: Test): Promise<{ directory: string; on: (tcti: string, more?: More) => Promise<ChipKeyStore> }> {
  const directory = await mkdtemp(join(tmpdir(), "tpm-key-"));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  const on = async (tcti: string, more: More = {}): Promise<ChipKeyStore> =>
    createTpmKeyStore({ files: await linuxFiles(join(directory, "state")), provider: { ...installed, tcti }, ...more });
  return { directory, on };
}

test("[ID-6] the key survives a power cycle of the TPM", { skip }, async (t) => {
  const { directory, on } = await stateOf(t);
  const first = await startSwtpm({ directory: join(directory, "chip") });
  t.teardown(first.stop);
  const made = await (await on(first.tcti)).create();
  await first.stop();
  const second = await startSwtpm({ directory: join(directory, "chip") });
  t.teardown(second.stop);
  const loaded = await (await on(second.tcti)).load();
  t.equal(loaded?.fingerprint, made.fingerprint);
  const key = createPublicKey({ key: Buffer.from(made.publicKey), format: "der", type: "spki" });
  t.ok(verify("sha256", Buffer.from("words"), key, (await loaded?.sign(Buffer.from("words"))) ?? new Uint8Array()));
});

test("[ID-6] another TPM refuses the key: the fault says what to do, and no new key is made", { skip }, async (t) => {
  const { directory, on } = await stateOf(t);
  const [mine, other] = [await startSwtpm(), await startSwtpm()];
  t.teardown(mine.stop);
  t.teardown(other.stop);
  await (await on(mine.tcti)).create();
  const blob = await readFile(join(directory, "state", KEY_FILE), "utf8");
  const swapped = await on(other.tcti);
  const expected = {
    code: "key.mismatch",
    message: /it was cleared, or this is another TPM.*put back what belongs to this device/,
  };
  await t.rejects(swapped.load(), expected);
  await t.rejects(swapped.create(), expected);
  t.equal(await readFile(join(directory, "state", KEY_FILE), "utf8"), blob);
  t.ok(await (await on(mine.tcti)).load(), "with its own TPM it works again");
});

test("[ID-47] a chip that is swapped, cleared or gone, and a damaged file, are told apart", { skip: withTools }, async (t) => {
  const { directory, on } = await stateOf(t);
  const [mine, other] = [await startSwtpm(), await startSwtpm()];
  t.teardown(mine.stop);
  t.teardown(other.stop);
  const store = await on(mine.tcti);
  const { chip } = await store.create();
  t.match(chip, { storage: /^000b/, endorsement: /^000b/ });
  t.equal(await store.stranger(chip), undefined);
  t.match(await (await on(other.tcti)).stranger(chip), { code: "key.not-this-board" });
  await t.rejects((await on(other.tcti)).load(chip), { code: "key.not-this-board", message: /put the disk back into its board/ });

  const file = join(directory, "state", KEY_FILE);
  const good = await readFile(file, "utf8");
  const tss2 = readTss2Pem(good);
  const damaged = Buffer.from(tss2.privateBlob);
  damaged.writeUInt8((damaged.at(-1) ?? 0) ^ 1, damaged.length - 1);
  await writeFile(file, writeTss2Pem({ ...tss2, privateBlob: damaged }));
  await t.rejects(store.load(chip), { code: "key.mismatch", message: /the file is damaged; put the device's own file back/ });
  await writeFile(file, good);
  t.ok(await store.load(chip));

  await using tools = await openTpm2Tools(mine);
  await tools.run("clear", "-c", "p");
  await t.rejects(store.load(chip), { code: "key.tpm-cleared", message: /the device's own and was cleared/ });
  await t.rejects(store.create(), { code: "key.mismatch" }, "nothing new is made");
  await setPassword(mine, "endorsement", "theirs");
  await t.rejects(store.load(chip), { code: "key.tpm-cleared", message: /its endorsement key cannot be compared/ });
  await mine.stop();
  await t.rejects(store.load(chip), { code: "key.tpm-missing", message: /^load .*: TPM missing: .* does not answer/ });
  t.match(await store.stranger(chip), { code: "key.tpm-missing" });
  t.match(await store.stranger(undefined), { code: "key.tpm-missing" });
});

test(
  "[ID-45] an owner's password after the birth is named, and a storage root at 0x81000001 repairs it",
  { skip: withTools },
  async (t) => {
    const { directory, on } = await stateOf(t);
    const chip = await startSwtpm();
    t.teardown(chip.stop);
    const store = await on(chip.tcti);
    const key = await store.create();
    const file = join(directory, "state", KEY_FILE);
    t.equal(readTss2Pem(await readFile(file, "utf8")).parent, HANDLE.owner);
    await setPassword(chip, "owner", "theirs");
    const expected = { code: "key.tpm-unavailable", message: /: the owner password is in the way: .*the key is not lost: / };
    await t.rejects(store.load(key.chip), expected);
    await t.rejects(key.sign(Buffer.from("words")), expected);
    await using tools = await openTpm2Tools(chip);
    await tools.run("createprimary", "-Q", "-C", "o", "-P", "theirs", "-G", "ecc", "-c", "./root.ctx", "-a", STORAGE_ATTRIBUTES);
    await tools.run("evictcontrol", "-Q", "-C", "o", "-P", "theirs", "-c", "./root.ctx", "0x81000001");
    await tools.run("flushcontext", "-t");
    const again = await store.load(key.chip);
    t.equal(again?.fingerprint, key.fingerprint);
    t.same(again?.chip, key.chip, "it is the same parent");
    const publicKey = createPublicKey({ key: Buffer.from(key.publicKey), format: "der", type: "spki" });
    const words = Buffer.from("words");
    t.ok(verify("sha256", words, publicKey, await key.sign(words)), "a key that is in use finds the parent too");
    t.equal(readTss2Pem(await readFile(file, "utf8")).parent, PERSISTENT.storageRoot);
    t.ok(verify("sha256", words, publicKey, await providerCommands(chip).sign(again?.tlsKey() ?? "", words)));
    await tools.run("evictcontrol", "-Q", "-C", "o", "-P", "theirs", "-c", "0x81000001");
    await tools.run("changeauth", "-c", "o", "-p", "theirs");
    t.equal((await store.load(key.chip))?.fingerprint, key.fingerprint, "and back, when the root is removed");
    t.equal(readTss2Pem(await readFile(file, "utf8")).parent, HANDLE.owner);
  },
);

test(
  "[ID-45] the parent is the configured one, and a handle that holds no storage key is refused in words",
  { skip },
  async (t) => {
    const { directory, on } = await stateOf(t);
    const chip = await startSwtpm();
    t.teardown(chip.stop);
    await keepStorageRoot(chip);
    t.match(
      await (await on(chip.tcti, { parent: 0x8100_0002 })).unavailable(),
      /no storage key at 0x81000002, which key.tpm.parent names/,
    );
    t.match(
      await (await on(chip.tcti, { parent: "endorsement" })).unavailable(),
      /provider loads no key of the endorsement hierarchy/,
    );
    await (await on(chip.tcti, { parent: PERSISTENT.storageRoot })).create();
    const file = join(directory, "state", KEY_FILE);
    t.equal(readTss2Pem(await readFile(file, "utf8")).parent, PERSISTENT.storageRoot);
    await rm(file);
    await (await on(chip.tcti)).create();
    t.equal(readTss2Pem(await readFile(file, "utf8")).parent, PERSISTENT.storageRoot, "auto takes the storage root");
  },
);

test(
  "[ID-47] a damaged key below another storage key than the usual is damaged, and not a chip that was cleared",
  { skip },
  async (t) => {
    const { directory, on } = await stateOf(t);
    const chip = await startSwtpm();
    t.teardown(chip.stop);
    const parent = 0x8100_0005;
    {
      await using tpm = await openTpm(chip);
      // RSA, so that it is not the primary key which is tried besides
      await using root = await createPrimary(tpm, HANDLE.owner, RSA_STORAGE_TEMPLATE);
      await evictControl(tpm, root, parent);
    }
    const key = await (await on(chip.tcti, { parent })).create();
    const file = join(directory, "state", KEY_FILE);
    const tss2 = readTss2Pem(await readFile(file, "utf8"));
    t.equal(tss2.parent, parent);
    const auto = await on(chip.tcti);
    t.equal((await auto.load(key.chip))?.fingerprint, key.fingerprint, "the file names the parent, not the configuration");
    const damaged = Buffer.from(tss2.privateBlob);
    damaged.writeUInt8((damaged.at(-1) ?? 0) ^ 1, damaged.length - 1);
    await writeFile(file, writeTss2Pem({ ...tss2, privateBlob: damaged }));
    await t.rejects(auto.load(key.chip), { code: "key.mismatch", message: /so the file is damaged/ });
  },
);

test("[ID-48] a TPM whose slots are full says so, does not advise a reset, and is tried again", { skip }, async (t) => {
  const { on } = await stateOf(t);
  const chip = await startSwtpm();
  t.teardown(chip.stop);
  const store = await on(chip.tcti);
  const key = await store.create();
  const other = await openTpm(chip);
  const theirs = [
    await createPrimary(other, HANDLE.owner, STORAGE_TEMPLATE),
    await createPrimary(other, HANDLE.null, STORAGE_TEMPLATE),
  ];
  await other[Symbol.asyncDispose]();
  const expected = { code: "key.tpm-unavailable", message: /takes no key now.*the key is not lost: end them, or restart/ };
  await t.rejects(store.load(), expected);
  await t.rejects(key.sign(Buffer.from("words")), expected);
  const signed = key.sign(Buffer.from("words"));
  await using tpm = await openTpm(chip);
  for (const { handle } of theirs) await tpm.release(handle);
  await tpm[Symbol.asyncDispose]();
  t.ok((await signed).length > 0, "the slots became free while it tried");
});

test(
  "[ID-42] [ID-48] a lockout by another program: our key signs on, an older one says to wait, and works when it ends",
  { skip },
  async (t) => {
    const { directory, on } = await stateOf(t);
    const chip = await startSwtpm();
    t.teardown(chip.stop);
    const store = await on(chip.tcti);
    const ours = await store.create();
    await writeFile(join(directory, "state", KEY_FILE), await providerCommands(chip).generate());
    const older = await store.load();
    t.not(older?.fingerprint, ours.fingerprint);
    await lockOut(chip);
    t.ok((await ours.sign(Buffer.from("words"))).length > 0);
    const expected = {
      code: "key.tpm-unavailable",
      message: /: TPM in lockout, wait or clear the lockout: .*the key is not lost$/,
    };
    await t.rejects(store.load(), expected);
    await t.rejects(async () => older?.sign(Buffer.from("words")), expected);
    {
      await using tpm = await openTpm(chip);
      await dictionaryAttackLockReset(tpm);
    }
    t.equal((await store.load())?.fingerprint, older?.fingerprint);
    t.ok(((await older?.sign(Buffer.from("words"))) ?? "").length > 0);
  },
);

test("a TPM that disappears while the key is in use is reported as such", { skip }, async (t) => {
  const { on } = await stateOf(t);
  const chip = await startSwtpm();
  t.teardown(chip.stop);
  const key = await (await on(chip.tcti)).create();
  await chip.stop();
  await t.rejects(key.sign(Buffer.from("words")), { code: "key.tpm-missing", message: /^sign with .* does not answer/ });
});
