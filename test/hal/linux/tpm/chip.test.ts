// The chip as a whole, its owner's rights, its indices and its policies, on a real TPM.
import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Test, test } from "tap";
import {
  ALG,
  certify,
  clearControl,
  create,
  createPrimary,
  ATTESTATION_TEMPLATE,
  FIRST_HANDLE,
  getCapability,
  getRandom,
  HANDLE,
  handlesFrom,
  hierarchyChangeAuth,
  load,
  loadExternal,
  nameOf,
  NO_PASSWORD,
  NV,
  nvDefineSpace,
  nvIncrement,
  nvRead,
  nvReadPublic,
  nvUndefineSpace,
  nvWrite,
  ownership,
  pcrExtend,
  pcrRead,
  permanent,
  policyAuthorize,
  policyGetDigest,
  policyPcr,
  policySecret,
  readAttestation,
  sealTemplate,
  selfTest,
  shutdown,
  lockoutState,
  OBJECT,
  sign,
  SIGNING_TEMPLATE,
  startSession,
  startup,
  STORAGE_TEMPLATE,
  type Tpm,
  unseal,
  verifySignature,
} from "../../../../hal/linux/tpm/index.ts";
import { COMMAND, PROPERTY } from "../../../../hal/linux/tpm/constants.ts";
import { writePcrSelection } from "../../../../hal/linux/tpm/pcr.ts";
import { openTpm, startSwtpm } from "../../../lab/counterparts/swtpm.ts";
import { needs } from "../../../lab/runner/needs.ts";

const skip = needs("swtpm");
const SECRET = Buffer.from("the secret of this board");
const PASSWORD = Buffer.from("a password");
/** Not 16, the register for tries: its changes do not end a policy. */
const REGISTER = [{ hash: ALG.sha256, registers: [8] }];

async function tpmOf(t: Test): Promise<Tpm> {
  const chip = await startSwtpm();
  t.teardown(chip.stop);
  const tpm = await openTpm(chip);
  t.teardown(() => tpm[Symbol.asyncDispose]());
  return tpm;
}

const sha256 = (...parts: readonly Uint8Array[]): Buffer => createHash("sha256").update(Buffer.concat(parts)).digest();
const number = (value: number): Buffer => Buffer.from(value.toString(16).padStart(8, "0"), "hex");

test("a chip tells what it can, and tests itself", { skip }, async (t) => {
  const tpm = await tpmOf(t);
  const algorithms = (await getCapability(tpm, "algorithms", 0)).data;
  t.ok(algorithms.kind === "algorithms" && algorithms.items.some(({ algorithm }) => algorithm === ALG.ecc));
  const commands = (await getCapability(tpm, "commands", 0)).data;
  const offered = new Set(commands.kind === "commands" ? commands.items : []);
  t.same(
    Object.entries(COMMAND).filter(([, code]) => !offered.has(code)),
    [],
    "it has every command that this layer sends",
  );
  t.equal((await getCapability(tpm, "properties", PROPERTY.manufacturer, 1)).more, true);
  await selfTest(tpm);
  await t.rejects(startup(tpm), { code: "tpm.not-ready", message: /0x100/ }, "it has been started");
});

test("a TPM that nobody started says so, and works after its start", { skip }, async (t) => {
  const chip = await startSwtpm({ isStarted: false });
  t.teardown(chip.stop);
  await using tpm = await openTpm(chip);
  await t.rejects(getRandom(tpm, 8), { code: "tpm.not-ready", message: /TPM_RC_INITIALIZE/ });
  await startup(tpm);
  t.equal((await getRandom(tpm, 8)).length, 8);
});

test("after an orderly shutdown nothing is counted against a key under protection", { skip }, async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "chip-"));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  const template = { ...SIGNING_TEMPLATE, attributes: SIGNING_TEMPLATE.attributes & ~OBJECT.noDa };
  const counts: number[] = [];
  for (const isOrderly of [true, true, false, false]) {
    const chip = await startSwtpm({ directory });
    t.teardown(chip.stop);
    await using tpm = await openTpm(chip);
    await using root = await createPrimary(tpm, HANDLE.owner, STORAGE_TEMPLATE);
    await using key = await load(tpm, root, await create(tpm, root, template));
    await sign(tpm, key, sha256(SECRET));
    const { failures } = await lockoutState(tpm);
    // The last power-on came after a cut; those before it, after a shutdown or for the first time.
    counts.push(failures);
    if (isOrderly) await shutdown(tpm);
    await chip.cut();
  }
  t.same(counts, [0, 0, 0, 1]);
});

test("an owner forbids TPM2_Clear with the lockout's password, and only the platform allows it again", { skip }, async (t) => {
  const tpm = await tpmOf(t);
  const isForbidden = async (): Promise<boolean> => (await ownership(tpm)).isClearForbidden;
  const nobody = { hasOwnerPassword: false, hasEndorsementPassword: false, hasLockoutPassword: false, isClearForbidden: false };
  t.same(await ownership(tpm), nobody);
  await hierarchyChangeAuth(tpm, HANDLE.owner, PASSWORD);
  t.same(await ownership(tpm), { ...nobody, hasOwnerPassword: true });
  await hierarchyChangeAuth(tpm, HANDLE.endorsement, PASSWORD);
  t.same(await ownership(tpm), { ...nobody, hasOwnerPassword: true, hasEndorsementPassword: true });
  await hierarchyChangeAuth(tpm, HANDLE.lockout, PASSWORD);
  t.equal((await ownership(tpm)).hasLockoutPassword, true);
  const auth = { kind: "password", auth: PASSWORD } as const;
  await clearControl(tpm, true, auth);
  t.equal(await isForbidden(), true);
  await t.rejects(clearControl(tpm, false, auth), { code: "tpm.auth-failed" }, "only the firmware allows it again");
  t.equal(await isForbidden(), true);
  await clearControl(tpm, false, NO_PASSWORD, "platform");
  t.equal(await isForbidden(), false);
  await t.rejects(clearControl(tpm, true), { code: "tpm.auth-failed", message: /each wrong one counts towards a lockout/ });
});

test("an index holds data in parts, a counter rises, and both go", { skip }, async (t) => {
  const tpm = await tpmOf(t);
  const data = await getRandom(tpm, 1300);
  const area = { index: 0x0180_0010, attributes: NV.ownerRead | NV.ownerWrite, authPolicy: new Uint8Array(), bytes: data.length };
  await nvDefineSpace(tpm, area);
  await t.rejects(nvDefineSpace(tpm, area), { code: "tpm.exists" });
  const index = await nvReadPublic(tpm, area.index);
  t.same(index.area, area);
  await t.rejects(nvRead(tpm, index, "owner"), { code: "tpm.nv-unwritten" });
  await nvWrite(tpm, index, data, "owner");
  t.same(await nvRead(tpm, await nvReadPublic(tpm, area.index), "owner"), data);
  await t.rejects(nvRead(tpm, index, "index"), { code: "tpm.auth-failed", message: /takes no such authorization/ });
  await nvUndefineSpace(tpm, await nvReadPublic(tpm, area.index));
  await t.rejects(nvReadPublic(tpm, area.index), { code: "tpm.missing" });

  const counter = { ...area, index: 0x0180_0011, attributes: NV.counter | NV.authRead | NV.authWrite | NV.noDa, bytes: 8 };
  await nvDefineSpace(tpm, counter, { password: PASSWORD });
  const auth = { kind: "password", auth: PASSWORD } as const;
  const value = async (): Promise<bigint> =>
    Buffer.from(await nvRead(tpm, await nvReadPublic(tpm, counter.index), "index", auth)).readBigUInt64BE();
  await nvIncrement(tpm, await nvReadPublic(tpm, counter.index), "index", auth);
  const first = await value();
  await nvIncrement(tpm, await nvReadPublic(tpm, counter.index), "index", auth);
  t.equal(await value(), first + 1n);
  t.same(await handlesFrom(tpm, FIRST_HANDLE.nv), [counter.index]);
});

test(
  "a secret sealed to a register opens until the register changes, and its policy has the digest of the book",
  { skip },
  async (t) => {
    const tpm = await tpmOf(t);
    await pcrExtend(tpm, 8, ALG.sha256, sha256(SECRET));
    const { values } = await pcrRead(tpm, REGISTER);
    t.same(Buffer.from(values[0] ?? []), sha256(new Uint8Array(32), sha256(SECRET)));
    await using root = await createPrimary(tpm, HANDLE.owner, STORAGE_TEMPLATE);
    let policy = new Uint8Array();
    {
      await using trial = await startSession(tpm, "trial");
      await policyPcr(tpm, trial, REGISTER);
      policy = new Uint8Array(await policyGetDigest(tpm, trial));
    }
    // Part 3, clause 23.7: H(old || TPM_CC_PolicyPCR || selection || H(values))
    const expected = sha256(new Uint8Array(32), number(0x17f), writePcrSelection(REGISTER), sha256(...values));
    t.same(Buffer.from(policy), expected);
    await using item = await load(tpm, root, await create(tpm, root, sealTemplate(policy), { data: SECRET }));
    await t.rejects(unseal(tpm, item), { code: "tpm.auth-failed", message: /perhaps only a policy/ });
    {
      await using session = await startSession(tpm, "policy", root);
      await policyPcr(tpm, session, REGISTER);
      t.same(Buffer.from(await unseal(tpm, item, { kind: "policy", session })), SECRET);
    }
    await using session = await startSession(tpm, "policy");
    await policyPcr(tpm, session, REGISTER);
    await pcrExtend(tpm, 8, ALG.sha256, sha256(PASSWORD));
    await t.rejects(unseal(tpm, item, { kind: "policy", session }), { code: "tpm.policy-failed", message: /a PCR changed/ });
  },
);

test("a policy that the holder of a key signed opens what was sealed to the key", { skip }, async (t) => {
  const tpm = await tpmOf(t);
  await using root = await createPrimary(tpm, HANDLE.owner, STORAGE_TEMPLATE);
  const signer = await create(tpm, root, SIGNING_TEMPLATE);
  const keyName = nameOf(signer.area);
  // Part 3, clause 23.4: H(H(0 || TPM_CC_PolicySecret || name) || policyRef). The holder signs it.
  const approved = sha256(sha256(new Uint8Array(32), number(0x151), number(HANDLE.owner)));
  const signed = sha256(approved);
  const signature = await (async () => {
    await using key = await load(tpm, root, signer);
    return await sign(tpm, key, signed);
  })();
  const ticket = await (async () => {
    await using key = await loadExternal(tpm, signer.area);
    await t.rejects(verifySignature(tpm, key, sha256(signed), signature), { code: "tpm.refused", message: /SIGNATURE/ });
    return await verifySignature(tpm, key, signed, signature);
  })();
  // Part 3, clause 23.16: H(H(0 || TPM_CC_PolicyAuthorize || keyName) || policyRef)
  const policy = sha256(sha256(new Uint8Array(32), number(0x16a), keyName));
  await using item = await load(tpm, root, await create(tpm, root, sealTemplate(policy), { data: SECRET }));
  await using session = await startSession(tpm, "policy");
  await t.rejects(
    policyAuthorize(tpm, session, { approved, keyName, ticket }),
    { code: "tpm.refused", message: /VALUE/ },
    "not yet",
  );
  await policySecret(tpm, session, permanent(HANDLE.owner), NO_PASSWORD);
  t.same(Buffer.from(await policyGetDigest(tpm, session)), approved);
  await policyAuthorize(tpm, session, { approved, keyName, ticket });
  t.same(Buffer.from(await unseal(tpm, item, { kind: "policy", session })), SECRET);
});

test("a key that was certified is the one whose Name is in the certificate", { skip }, async (t) => {
  const tpm = await tpmOf(t);
  await using root = await createPrimary(tpm, HANDLE.owner, STORAGE_TEMPLATE);
  const [device, attester] = [await create(tpm, root, SIGNING_TEMPLATE), await create(tpm, root, ATTESTATION_TEMPLATE)];
  await using object = await load(tpm, root, device);
  await using key = await load(tpm, root, attester);
  const nonce = await getRandom(tpm, 20);
  const attestation = readAttestation((await certify(tpm, { object, key }, nonce)).message);
  t.same(attestation.extraData, nonce);
  t.match(attestation.attested, { kind: "certify", name: nameOf(device.area) });
  await t.rejects(
    sign(tpm, key, new Uint8Array(32)),
    { code: "tpm.refused", message: /TICKET/ },
    "it signs nothing from outside",
  );
});
