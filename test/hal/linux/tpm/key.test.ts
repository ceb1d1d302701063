// A key made by our own TPM commands: power cuts, lockouts, passwords that others set.
import { createHash, verify } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Test, test } from "tap";
import {
  create,
  createPrimary,
  dictionaryAttackLockReset,
  dictionaryAttackParameters,
  evictControl,
  FIRST_HANDLE,
  HANDLE,
  handlesFrom,
  hierarchyChangeAuth,
  load,
  lockoutState,
  OBJECT,
  p1363,
  property,
  PROPERTY,
  publicKeyObject,
  readPublicOf,
  readTss2Pem,
  RSA_STORAGE_TEMPLATE,
  sign,
  SIGNING_TEMPLATE,
  STORAGE_TEMPLATE,
  type Tpm,
  writeTss2Pem,
} from "../../../../hal/linux/tpm/index.ts";
import { openTpm, startSwtpm, type Swtpm } from "../../../lab/counterparts/swtpm.ts";
import { openTpm2Tools } from "../../../lab/counterparts/tpm2-tools.ts";
import { needs } from "../../../lab/runner/needs.ts";

const skip = needs("swtpm");
const WORDS = Buffer.from("words");
const DIGEST = createHash("sha256").update(WORDS).digest();
const PASSWORD = Buffer.from("the owner's");

/** Makes a key below the storage root of the owner, as PEM. */
async function make(tpm: Tpm, template = SIGNING_TEMPLATE): Promise<string> {
  await using root = await createPrimary(tpm, HANDLE.owner, STORAGE_TEMPLATE);
  return writeTss2Pem({ ...(await create(tpm, root, template)), parent: HANDLE.owner, hasNoPassword: true });
}

/** Loads a key, signs with it, and verifies the signature. */
async function signs(tpm: Tpm, pem: string, meanwhile: () => Promise<void> = () => Promise.resolve()): Promise<boolean> {
  await using root = await createPrimary(tpm, HANDLE.owner, STORAGE_TEMPLATE);
  await using key = await load(tpm, root, readTss2Pem(pem));
  const signature = p1363(await sign(tpm, key, DIGEST));
  await meanwhile();
  return verify("sha256", WORDS, { key: publicKeyObject(key.area), dsaEncoding: "ieee-p1363" }, signature);
}

async function chipOf(t: Test): Promise<Swtpm> {
  const chip = await startSwtpm();
  t.teardown(chip.stop);
  return chip;
}

/** Boots the TPM of `directory` and cuts its power while the key is loaded. */
async function bootAndCut(directory: string, use: (tpm: Tpm, cut: () => Promise<void>) => Promise<void>): Promise<void> {
  const chip = await startSwtpm({ directory });
  try {
    await using tpm = await openTpm(chip);
    await use(tpm, chip.cut);
  } finally {
    await chip.cut();
  }
}

test("[ID-40] after each of five power cuts in a row the key signs, and no failure is counted", { skip }, async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "chip-"));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  let pem = "";
  await bootAndCut(directory, async (tpm) => {
    pem = await make(tpm);
  });
  const { attributes } = readTss2Pem(pem).area;
  t.equal(
    attributes,
    OBJECT.fixedTpm | OBJECT.fixedParent | OBJECT.sensitiveDataOrigin | OBJECT.userWithAuth | OBJECT.noDa | OBJECT.sign,
  );
  for (let boot = 1; boot <= 6; boot += 1)
    await bootAndCut(directory, async (tpm, cut) => {
      const { failures, isLockedOut } = await lockoutState(tpm);
      t.same({ failures, isLockedOut }, { failures: 0, isLockedOut: false }, `boot ${boot}: nothing is counted`);
      t.ok(await signs(tpm, pem, cut), `boot ${boot}: the key signs`);
    });
});

test(
  "[ID-42] power cuts lock a key under protection out: the fault names the lockout and no reset, and a reset of it helps",
  { skip },
  async (t) => {
    const directory = await mkdtemp(join(tmpdir(), "chip-"));
    t.teardown(() => rm(directory, { recursive: true, force: true }));
    const [made, ours] = ["protected", "ours"];
    const pems = new Map<string, string>();
    await bootAndCut(directory, async (tpm) => {
      pems.set(ours, await make(tpm));
      pems.set(made, await make(tpm, { ...SIGNING_TEMPLATE, attributes: SIGNING_TEMPLATE.attributes & ~OBJECT.noDa }));
    });
    for (let boot = 1; boot <= 3; boot += 1)
      await bootAndCut(directory, async (tpm, cut) => void (await signs(tpm, pems.get(made) ?? "", cut)));
    await bootAndCut(directory, async (tpm) => {
      t.equal((await lockoutState(tpm)).isLockedOut, true);
      const fault = { code: "tpm.locked-out", message: /0x921.*wait for the lockout to end, or clear it/ };
      await t.rejects(signs(tpm, pems.get(made) ?? ""), fault);
      t.ok(await signs(tpm, pems.get(ours) ?? ""), "a key without protection signs in a lockout");
      await dictionaryAttackLockReset(tpm);
      t.ok(await signs(tpm, pems.get(made) ?? ""));
    });
  },
);

test(
  "[ID-40] another program locks the TPM, and our key is made and signs all the same",
  { skip: needs("swtpm", "tpm2-tools") },
  async (t) => {
    const chip = await chipOf(t);
    await using tools = await openTpm2Tools(chip);
    await tools.run("dictionarylockout", "-s", "-n", "1", "-t", "100000", "-l", "100000");
    await tools.run("createprimary", "-C", "o", "-p", "right", "-c", "./p.ctx");
    await t.rejects(tools.run("create", "-C", "./p.ctx", "-P", "wrong", "-u", "./u", "-r", "./r"), { code: "process.failed" });
    await tools.run("flushcontext", "-t");
    await using tpm = await openTpm(chip);
    t.same(await lockoutState(tpm), { isLockedOut: true, failures: 1, failuresMax: 1, recoveryS: 100_000 });
    t.ok(await signs(tpm, await make(tpm)));
  },
);

test(
  "an owner's password that was set before the first boot is named, and another hierarchy still gives a key",
  { skip },
  async (t) => {
    const chip = await chipOf(t);
    await using tpm = await openTpm(chip);
    await hierarchyChangeAuth(tpm, HANDLE.owner, PASSWORD);
    await t.rejects(make(tpm), {
      code: "tpm.auth-failed",
      message: /TPM2_CreatePrimary with 0x9a2 \(TPM_RC_BAD_AUTH\) for session 1: the password is not the one that was set/,
    });
    t.equal((await lockoutState(tpm)).failures, 0, "the owner's password is not under protection");
    await using root = await createPrimary(tpm, HANDLE.endorsement, STORAGE_TEMPLATE);
    await using key = await load(tpm, root, await create(tpm, root, SIGNING_TEMPLATE));
    t.ok(await sign(tpm, key, DIGEST));
  },
);

test("an owner's password that was set after birth stops a derived parent, and a persistent one goes on", { skip }, async (t) => {
  const chip = await chipOf(t);
  await using tpm = await openTpm(chip);
  const pem = await make(tpm);
  {
    await using root = await createPrimary(tpm, HANDLE.owner, STORAGE_TEMPLATE);
    await evictControl(tpm, root, 0x8100_0001);
  }
  await hierarchyChangeAuth(tpm, HANDLE.owner, PASSWORD);
  await t.rejects(signs(tpm, pem), { code: "tpm.auth-failed" });
  const persistent = await readPublicOf(tpm, 0x8100_0001);
  await using key = await load(tpm, persistent, readTss2Pem(pem));
  t.ok(await sign(tpm, key, DIGEST));
  const owner = { kind: "password", auth: PASSWORD } as const;
  await t.rejects(evictControl(tpm, persistent, 0x8100_0001), { code: "tpm.auth-failed" });
  await evictControl(tpm, persistent, 0x8100_0001, owner);
  t.same(await handlesFrom(tpm, FIRST_HANDLE.persistent), []);
  await t.rejects(readPublicOf(tpm, 0x8100_0001), { code: "tpm.missing", message: /0x18b.*for handle 1/ });
});

test("[ID-42] another TPM refuses the key as not its own, and full slots are named as such", { skip }, async (t) => {
  const [mine, other] = [await chipOf(t), await chipOf(t)];
  await using first = await openTpm(mine);
  await using second = await openTpm(other);
  const pem = await make(first);
  await t.rejects(signs(second, pem), {
    code: "tpm.not-ours",
    message: /0x1df \(TPM_RC_INTEGRITY\).*put back what belongs together/,
  });
  await using _one = await createPrimary(first, HANDLE.owner, STORAGE_TEMPLATE);
  await using _two = await createPrimary(first, HANDLE.endorsement, STORAGE_TEMPLATE);
  await t.rejects(signs(first, pem), { code: "tpm.slots-full", message: /0x902.*the key is not lost: end the other program/ });
});

test("parameters of the protection are set, and a storage root of RSA takes a key of ours", { skip }, async (t) => {
  const chip = await chipOf(t);
  await using tpm = await openTpm(chip);
  await dictionaryAttackParameters(tpm, { tries: 9, recoveryS: 60, lockoutRecoveryS: 61 });
  const found = [PROPERTY.maxAuthFail, PROPERTY.lockoutInterval, PROPERTY.lockoutRecovery].map((wanted) => property(tpm, wanted));
  t.same(await Promise.all(found), [9, 60, 61]);
  t.equal(await property(tpm, 0x1ff), undefined, "a property that does not exist");
  await using root = await createPrimary(tpm, HANDLE.owner, RSA_STORAGE_TEMPLATE);
  await using key = await load(tpm, root, await create(tpm, root, SIGNING_TEMPLATE));
  t.ok(await sign(tpm, key, DIGEST));
});
