// A software key that only its TPM opens.
import { createPrivateKey } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Test, test } from "tap";
import { assert } from "../../../../hal/fault.ts";
import { linuxFiles } from "../../../../hal/linux/files/index.ts";
import { type ChipKeyStore, createSealedKeyStore } from "../../../../hal/linux/keys/index.ts";
import {
  createPrimary,
  evictControl,
  HANDLE,
  lockoutState,
  PERSISTENT,
  readTss2Pem,
  RSA_STORAGE_TEMPLATE,
  writeTss2Pem,
} from "../../../../hal/linux/tpm/index.ts";
import { needs } from "../../../lab/runner/needs.ts";
import { openTpm, startSwtpm, type Swtpm } from "../../../lab/counterparts/swtpm.ts";
import { keepStorageRoot, lockOut, setPassword } from "../../../lab/counterparts/tpm-troubles.ts";
import { openTpm2Tools } from "../../../lab/counterparts/tpm2-tools.ts";
import { openWiretap } from "../../../lab/counterparts/wiretap.ts";

const skip = needs("swtpm");
const withTools = needs("swtpm", "tpm2-tools");
const KEY_FILE = "device-key.sealed.pem";
const SCALAR_AT = 35;

async function stateOf(t: Test): Promise<{ file: string; on: (tcti: string) => Promise<ChipKeyStore> }> {
  const directory = await mkdtemp(join(tmpdir(), "sealed-key-"));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  const files = await linuxFiles(directory);
  return { file: join(directory, KEY_FILE), on: async (tcti) => createSealedKeyStore({ files, tcti }) };
}

async function newChip(t: Test, options: Parameters<typeof startSwtpm>[0] = {}): Promise<Swtpm> {
  const chip = await startSwtpm(options);
  t.teardown(chip.stop);
  return chip;
}

const parentIn = async (file: string): Promise<number> => readTss2Pem(await readFile(file, "utf8"), "sealed").parent;

/** The private number of a key, which must be in nothing but the key. */
function scalarOf(pem: string): Buffer {
  const { d } = createPrivateKey(pem).export({ format: "jwk" });
  return Buffer.from(d ?? "", "base64url");
}

test(
  "[ID-46] the key is neither in the file nor on the way to the TPM, when it is made and when it is opened",
  { skip },
  async (t) => {
    const { file, on } = await stateOf(t);
    const chip = await newChip(t);
    await using wire = await openWiretap(chip.port);
    const store = await on(`swtpm:port=${wire.port}`);
    const made = await store.create();
    const scalar = scalarOf(made.tlsKey());
    t.equal(scalar.length, 32);
    const loaded = await store.load();
    t.same(scalarOf(loaded?.tlsKey() ?? ""), scalar);
    t.ok(wire.length > 1000, "the wire was listened to");
    t.notOk(wire.hears(scalar.subarray(0, 16)), "no half of it was heard");
    t.notOk(wire.hears(scalar.subarray(16)));
    const { privateBlob, area } = readTss2Pem(await readFile(file, "utf8"), "sealed");
    t.equal(area.type, "keyed-hash");
    t.notOk(Buffer.from(privateBlob).includes(scalar.subarray(0, 16)));
  },
);

test(
  "[ID-46] five power cuts in a row: every boot opens the key, also in a lockout, and no failure is counted",
  { skip },
  async (t) => {
    const { file, on } = await stateOf(t);
    const directory = await mkdtemp(join(tmpdir(), "sealed-chip-"));
    t.teardown(() => rm(directory, { recursive: true, force: true }));
    const made = new Set<string>();
    for (let boot = 1; boot <= 5; boot += 1) {
      const chip = await newChip(t, { directory });
      const key = await (await on(chip.tcti)).create();
      made.add(key.fingerprint);
      t.ok((await key.sign(Buffer.from("words"))).length > 0, `boot ${boot} signs`);
      {
        await using tpm = await openTpm(chip);
        t.match(await lockoutState(tpm), { isLockedOut: false, failures: 0 });
      }
      if (boot === 5) {
        await lockOut(chip);
        t.equal((await (await on(chip.tcti)).load())?.fingerprint, key.fingerprint, "a lockout does not lock it");
      }
      await chip.cut();
    }
    t.equal(made.size, 1);
    t.equal(await parentIn(file), HANDLE.owner);
  },
);

test("[ID-46] tpm2-tools open what the store sealed, and find the one key in it", { skip: withTools }, async (t) => {
  const { file, on } = await stateOf(t);
  const chip = await newChip(t);
  await keepStorageRoot(chip);
  const key = await (await on(chip.tcti)).create();
  t.equal(await parentIn(file), PERSISTENT.storageRoot);
  const { readPublicBytes, readPrivateBytes } = partsOf(await readFile(file, "utf8"));
  await using tools = await openTpm2Tools(chip);
  await tools.write("seal.pub", readPublicBytes);
  await tools.write("seal.priv", readPrivateBytes);
  await tools.run("load", "-Q", "-C", "0x81000001", "-u", "./seal.pub", "-r", "./seal.priv", "-c", "./seal.ctx");
  await tools.run("flushcontext", "-t");
  await tools.run("unseal", "-Q", "-c", "./seal.ctx", "-o", "./key.der");
  const der = Buffer.from(await tools.read("key.der"));
  t.same(der.subarray(SCALAR_AT), scalarOf(key.tlsKey()));
});

/** TPM2B_PUBLIC and TPM2B_PRIVATE, as tpm2-tools read them: the last two elements of the file. */
function partsOf(pem: string): { readonly readPublicBytes: Buffer; readonly readPrivateBytes: Buffer } {
  const der = Buffer.from(pem.split("\n").slice(1, -2).join(""), "base64");
  const { privateBlob } = readTss2Pem(pem, "sealed");
  const readPrivateBytes = Buffer.concat([Buffer.from([privateBlob.length >> 8, privateBlob.length & 0xff]), privateBlob]);
  const privateAt = der.length - readPrivateBytes.length;
  // 0008 is TPM_ALG_KEYEDHASH, with which the public area begins, after its two bytes of size.
  const publicAt = der.indexOf(Buffer.from("0008000b", "hex")) - 2;
  const size = der.readUInt16BE(publicAt) + 2;
  assert(publicAt > 0 && publicAt + size < privateAt, "the file has a public and a private area");
  return { readPublicBytes: der.subarray(publicAt, publicAt + size), readPrivateBytes };
}

test(
  "[ID-45] [ID-46] where the owner hierarchy has a password the key is sealed under the endorsement hierarchy",
  { skip },
  async (t) => {
    const { file, on } = await stateOf(t);
    const chip = await newChip(t);
    const store = await on(chip.tcti);
    await setPassword(chip, "owner", "theirs");
    t.equal(await store.unavailable(), undefined);
    const key = await store.create();
    t.equal(await parentIn(file), HANDLE.endorsement);
    t.equal((await store.load(key.chip))?.fingerprint, key.fingerprint);
    await setPassword(chip, "endorsement", "theirs too");
    t.match(
      await store.unavailable(),
      /^the owner and endorsement hierarchies have passwords, which this device does not know; /,
    );
    await t.rejects(store.load(key.chip), {
      code: "key.tpm-unavailable",
      message: /the endorsement password is in the way: .*the key is not lost/,
    });
  },
);

test("[ID-46] a storage root of RSA seals too, and the way to it is encrypted", { skip }, async (t) => {
  const { file, on } = await stateOf(t);
  const chip = await newChip(t);
  {
    await using tpm = await openTpm(chip);
    await using root = await createPrimary(tpm, HANDLE.owner, RSA_STORAGE_TEMPLATE);
    await evictControl(tpm, root, PERSISTENT.storageRoot);
  }
  await using wire = await openWiretap(chip.port);
  const store = await on(`swtpm:host=127.0.0.1,port=${wire.port}`);
  const key = await store.create();
  t.equal(await parentIn(file), PERSISTENT.storageRoot);
  const loaded = await store.load(key.chip);
  t.equal(loaded?.fingerprint, key.fingerprint);
  const { d } = createPrivateKey(loaded?.tlsKey() ?? "").export({ format: "jwk" });
  t.ok(typeof d === "string" && !wire.hears(Buffer.from(d, "base64url")), "the key is not heard");
});

test(
  "[ID-47] another chip, a cleared one, a missing one and a damaged file are told apart, and make nothing new",
  { skip: withTools },
  async (t) => {
    const { file, on } = await stateOf(t);
    const [mine, other] = [await newChip(t), await newChip(t)];
    const store = await on(mine.tcti);
    const { chip } = await store.create();
    const good = await readFile(file, "utf8");
    await t.rejects((await on(other.tcti)).load(chip), { code: "key.not-this-board" });
    const blob = readTss2Pem(good, "sealed");
    const damaged = Buffer.from(blob.privateBlob);
    damaged.writeUInt8((damaged.at(-1) ?? 0) ^ 1, damaged.length - 1);
    await writeFile(file, writeTss2Pem({ ...blob, privateBlob: damaged }, "sealed"));
    await t.rejects(store.load(chip), { code: "key.mismatch", message: /so the file is damaged/ });
    await writeFile(file, good);
    await using tools = await openTpm2Tools(mine);
    await tools.run("clear", "-c", "p");
    await t.rejects(store.load(chip), { code: "key.tpm-cleared" });
    await mine.stop();
    await t.rejects(store.load(chip), { code: "key.tpm-missing" });
    t.equal(await readFile(file, "utf8"), good);
  },
);
