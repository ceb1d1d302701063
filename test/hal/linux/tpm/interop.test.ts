// What we make, others use; what others make, we use: tpm2-tools, and OpenSSL's tpm2 provider.
import { createHash, verify } from "node:crypto";
import { type Test, test } from "tap";
import {
  activateCredential,
  ALG,
  ATTESTATION_TEMPLATE,
  create,
  createPrimary,
  evictControl,
  HANDLE,
  load,
  NV,
  nvDefineSpace,
  nvRead,
  nvReadPublic,
  nvWrite,
  NO_PASSWORD,
  p1363,
  pcrExtend,
  permanent,
  policySecret,
  publicKeyObject,
  quote,
  readPublicOf,
  readTss2Pem,
  sealTemplate,
  sign,
  SIGNING_TEMPLATE,
  startSession,
  STORAGE_TEMPLATE,
  unseal,
  writeTss2Pem,
} from "../../../../hal/linux/tpm/index.ts";
import { readSizedPublic, writeSignature, writeSizedPublic } from "../../../../hal/linux/tpm/structures.ts";
import { sized, WireReader } from "../../../../hal/linux/tpm/wire.ts";
import { openTpm, startSwtpm, type Swtpm } from "../../../lab/counterparts/swtpm.ts";
import { providerCommands } from "../../../lab/counterparts/tpm2-provider.ts";
import { openTpm2Tools } from "../../../lab/counterparts/tpm2-tools.ts";
import { openWiretap } from "../../../lab/counterparts/wiretap.ts";
import { needs } from "../../../lab/runner/needs.ts";

const withTools = needs("swtpm", "tpm2-tools");
const withProvider = needs("swtpm", "tpm2-provider", "openssl");
const WORDS = Buffer.from("words");
const DIGEST = createHash("sha256").update(WORDS).digest();
const ROOT = 0x8100_0001;

/** A TPM whose storage root is persistent, as ours will be. */
async function ownedChip(t: Test): Promise<Swtpm> {
  const chip = await startSwtpm();
  t.teardown(chip.stop);
  await using tpm = await openTpm(chip);
  await using root = await createPrimary(tpm, HANDLE.owner, STORAGE_TEMPLATE);
  await evictControl(tpm, root, ROOT);
  return chip;
}

/** TPM2B_PUBLIC and TPM2B_PRIVATE as tpm2-tools write them. */
const readBlob = (area: Uint8Array, privateArea: Uint8Array) => ({
  area: readSizedPublic(new WireReader(area, "the file of tpm2-tools")),
  privateBlob: new WireReader(privateArea, "the file of tpm2-tools").sized(),
});

test("[ID-40] tpm2-tools load and use a key that we made, and read its public half as we do", { skip: withTools }, async (t) => {
  const chip = await ownedChip(t);
  await using tools = await openTpm2Tools(chip);
  const blob = await (async () => {
    await using tpm = await openTpm(chip);
    return await create(tpm, await readPublicOf(tpm, ROOT), SIGNING_TEMPLATE);
  })();
  await tools.write("key.pub", writeSizedPublic(blob.area));
  await tools.write("key.priv", sized(blob.privateBlob));
  await tools.write("words", WORDS);
  await tools.run("load", "-Q", "-C", "0x81000001", "-u", "./key.pub", "-r", "./key.priv", "-c", "./key.ctx");
  await tools.run("flushcontext", "-t");
  await tools.run("sign", "-Q", "-c", "./key.ctx", "-g", "sha256", "-f", "plain", "-o", "./signature", "./words");
  await tools.run("flushcontext", "-t");
  t.ok(verify("sha256", WORDS, publicKeyObject(blob.area), await tools.read("signature")));
  const attributes = await tools.run("print", "-t", "TPM2B_PUBLIC", "./key.pub");
  t.match(attributes, /fixedtpm\|fixedparent\|sensitivedataorigin\|userwithauth\|noda\|sign\n/);
});

test("we load and use a key and sealed data that tpm2-tools made", { skip: withTools }, async (t) => {
  const chip = await ownedChip(t);
  await using tools = await openTpm2Tools(chip);
  await tools.write("secret", "theirs");
  await tools.run("create", "-Q", "-C", "0x81000001", "-G", "ecc", "-u", "./key.pub", "-r", "./key.priv", "-p", "a password");
  await tools.run("flushcontext", "-t");
  await tools.run("create", "-Q", "-C", "0x81000001", "-i", "./secret", "-u", "./seal.pub", "-r", "./seal.priv");
  await tools.run("flushcontext", "-t");
  const [theirs, sealed] = [
    readBlob(await tools.read("key.pub"), await tools.read("key.priv")),
    readBlob(await tools.read("seal.pub"), await tools.read("seal.priv")),
  ];
  await using tpm = await openTpm(chip);
  const root = await readPublicOf(tpm, ROOT);
  await using session = await startSession(tpm, "hmac", root);
  await using key = await load(tpm, root, theirs);
  const signature = p1363(await sign(tpm, key, DIGEST, { kind: "hmac", session, auth: Buffer.from("a password") }));
  t.ok(verify("sha256", WORDS, { key: publicKeyObject(key.area), dsaEncoding: "ieee-p1363" }, signature));
  await using item = await load(tpm, root, sealed);
  t.equal(Buffer.from(await unseal(tpm, item, NO_PASSWORD, session)).toString(), "theirs");
});

test(
  "below a storage root of RSA that tpm2-tools made, keys and secrets of both are used by both",
  { skip: withTools },
  async (t) => {
    const chip = await startSwtpm();
    t.teardown(chip.stop);
    await using tools = await openTpm2Tools(chip);
    await tools.run("createprimary", "-Q", "-C", "o", "-G", "rsa2048", "-c", "./root.ctx");
    await tools.run("evictcontrol", "-Q", "-C", "o", "-c", "./root.ctx", "0x81000001");
    await tools.run("flushcontext", "-t");
    await tools.run("create", "-Q", "-C", "0x81000001", "-G", "ecc", "-u", "./key.pub", "-r", "./key.priv");
    await tools.run("flushcontext", "-t");
    const ours = await (async () => {
      await using tpm = await openTpm(chip);
      const root = await readPublicOf(tpm, ROOT);
      t.match(root.area, { type: "rsa", keyBits: 2048 });
      await using session = await startSession(tpm, "hmac", root);
      const sealed = await create(tpm, root, sealTemplate(), { data: WORDS, cover: session });
      {
        await using item = await load(tpm, root, sealed);
        t.equal(Buffer.from(await unseal(tpm, item, NO_PASSWORD, session)).toString(), "words");
      }
      await using theirs = await load(tpm, root, readBlob(await tools.read("key.pub"), await tools.read("key.priv")));
      const signature = p1363(await sign(tpm, theirs, DIGEST));
      t.ok(verify("sha256", WORDS, { key: publicKeyObject(theirs.area), dsaEncoding: "ieee-p1363" }, signature));
      return await create(tpm, root, SIGNING_TEMPLATE, { cover: session });
    })();
    await tools.write("ours.pub", writeSizedPublic(ours.area));
    await tools.write("ours.priv", sized(ours.privateBlob));
    await tools.write("words", WORDS);
    await tools.run("load", "-Q", "-C", "0x81000001", "-u", "./ours.pub", "-r", "./ours.priv", "-c", "./ours.ctx");
    await tools.run("flushcontext", "-t");
    await tools.run("sign", "-Q", "-c", "./ours.ctx", "-g", "sha256", "-f", "plain", "-o", "./signature", "./words");
    t.ok(verify("sha256", WORDS, publicKeyObject(ours.area), await tools.read("signature")));
  },
);

test("tpm2-tools open what we sealed, and read the index that we wrote", { skip: withTools }, async (t) => {
  const chip = await ownedChip(t);
  await using tools = await openTpm2Tools(chip);
  {
    await using tpm = await openTpm(chip);
    const blob = await create(tpm, await readPublicOf(tpm, ROOT), sealTemplate(), { data: WORDS });
    await tools.write("seal.pub", writeSizedPublic(blob.area));
    await tools.write("seal.priv", sized(blob.privateBlob));
    const area = {
      index: 0x0180_0020,
      attributes: NV.ownerRead | NV.ownerWrite,
      authPolicy: new Uint8Array(),
      bytes: WORDS.length,
    };
    await nvDefineSpace(tpm, area);
    await nvWrite(tpm, await nvReadPublic(tpm, area.index), WORDS, "owner");
  }
  await tools.run("load", "-Q", "-C", "0x81000001", "-u", "./seal.pub", "-r", "./seal.priv", "-c", "./seal.ctx");
  await tools.run("flushcontext", "-t");
  t.equal(await tools.run("unseal", "-c", "./seal.ctx"), "words");
  await tools.run("flushcontext", "-t");
  t.equal(await tools.run("nvread", "-C", "o", "0x1800020"), "words");
  await tools.run("nvdefine", "-Q", "0x1800021", "-s", "5", "-a", "authread|authwrite", "-p", "pw");
  await tools.write("theirs", "their");
  await tools.run("nvwrite", "-Q", "0x1800021", "-P", "pw", "-i", "./theirs");
  await using tpm = await openTpm(chip);
  const theirs = await nvReadPublic(tpm, 0x0180_0021);
  const read = await nvRead(tpm, theirs, "index", { kind: "password", auth: Buffer.from("pw") });
  t.equal(Buffer.from(read).toString(), "their");
});

test("our quote passes tpm2_checkquote, and not with another nonce", { skip: withTools }, async (t) => {
  const chip = await ownedChip(t);
  await using tools = await openTpm2Tools(chip);
  {
    await using tpm = await openTpm(chip);
    await pcrExtend(tpm, 16, ALG.sha256, DIGEST);
    const root = await readPublicOf(tpm, ROOT);
    await using key = await load(tpm, root, await create(tpm, root, ATTESTATION_TEMPLATE));
    const { message, signature } = await quote(tpm, key, Buffer.from("0123abcd", "hex"), [
      { hash: ALG.sha256, registers: [0, 16] },
    ]);
    await tools.write("quote", message);
    await tools.write("signature", writeSignature(signature));
    await tools.write("key.pem", publicKeyObject(key.area).export({ type: "spki", format: "pem" }));
  }
  await tools.run("pcrread", "-Q", "-o", "./values", "sha256:0,16");
  const check = async (nonce: string): Promise<string> =>
    await tools.run(
      "checkquote",
      ..."-u ./key.pem -m ./quote -s ./signature -g sha256 -f ./values -l sha256:0,16 -q".split(" "),
      nonce,
    );
  await check("0123abcd");
  await t.rejects(check("0123abce"), { code: "process.failed" });
});

test("a credential that tpm2_makecredential made for our key opens in this TPM", { skip: withTools }, async (t) => {
  const chip = await ownedChip(t);
  await using tools = await openTpm2Tools(chip);
  await tools.run("createek", "-Q", "-G", "ecc", "-c", "0x81010001", "-u", "./ek.pub");
  await tools.run("flushcontext", "-t");
  await tools.write("secret", "of the hub");
  const blob = await (async () => {
    await using tpm = await openTpm(chip);
    return await create(tpm, await readPublicOf(tpm, ROOT), ATTESTATION_TEMPLATE);
  })();
  await tools.write("key.pub", writeSizedPublic(blob.area));
  await tools.write("key.priv", sized(blob.privateBlob));
  await tools.run("load", "-Q", "-C", "0x81000001", "-u", "./key.pub", "-r", "./key.priv", "-c", "./key.ctx", "-n", "./key.name");
  await tools.run("flushcontext", "-t");
  const name = Buffer.from(await tools.read("key.name")).toString("hex");
  await tools.run("makecredential", "-Q", "-u", "./ek.pub", "-s", "./secret", "-n", name, "-o", "./credential");
  await tools.run("flushcontext", "-t");
  // The tool's file: a magic number and a version, then TPM2B_ID_OBJECT and TPM2B_ENCRYPTED_SECRET.
  const file = new WireReader((await tools.read("credential")).subarray(8), "a credential");
  const [credential, secret] = [file.sized(), file.sized()];
  await using wire = await openWiretap(chip.port);
  await using tpm = await openTpm(wire);
  const root = await readPublicOf(tpm, ROOT);
  const key = await readPublicOf(tpm, 0x8101_0001);
  await using object = await load(tpm, root, blob);
  const open = async (): Promise<string> => {
    await using session = await startSession(tpm, "policy", root);
    await policySecret(tpm, session, permanent(HANDLE.endorsement));
    const auths = [NO_PASSWORD, { kind: "policy", session }] as const;
    return Buffer.from(await activateCredential(tpm, { object, key }, { credential, secret }, auths)).toString();
  };
  t.equal(await open(), "of the hub");
  t.notOk(wire.hears("of the hub"), "it is encrypted on the way");
  await using other = await load(tpm, root, await create(tpm, root, ATTESTATION_TEMPLATE));
  await using session = await startSession(tpm, "policy");
  await policySecret(tpm, session, permanent(HANDLE.endorsement));
  await t.rejects(
    activateCredential(tpm, { object: other, key }, { credential, secret }, [NO_PASSWORD, { kind: "policy", session }]),
    { code: "tpm.not-ours" },
    "it is for that one key",
  );
});

for (const [what, parent] of [
  ["the owner's primary key", HANDLE.owner],
  ["a persistent storage root", ROOT],
] as const)
  test(`OpenSSL's tpm2 provider reads our PEM and signs with it: its parent is ${what}`, { skip: withProvider }, async (t) => {
    const chip = await ownedChip(t);
    const pem = await (async () => {
      await using tpm = await openTpm(chip);
      const blob = await create(tpm, await readPublicOf(tpm, ROOT), SIGNING_TEMPLATE);
      return writeTss2Pem({ ...blob, parent, hasNoPassword: true });
    })();
    const openssl = providerCommands(chip);
    const publicKey = publicKeyObject(readTss2Pem(pem).area);
    t.equal(await openssl.publicKey(pem), publicKey.export({ type: "spki", format: "pem" }));
    t.ok(verify("sha256", WORDS, publicKey, await openssl.sign(pem, WORDS)));
  });

test("we load a key that OpenSSL's tpm2 provider made, and keep what its PEM says", { skip: withProvider }, async (t) => {
  const chip = await startSwtpm();
  t.teardown(chip.stop);
  const pem = await providerCommands(chip).generate();
  const theirs = readTss2Pem(pem);
  t.match(theirs, { parent: HANDLE.owner, hasNoPassword: true, area: { type: "ecc", attributes: 0x6_0072 } });
  // Byte by byte it differs: the provider writes TRUE as 01, which DER does not allow.
  t.same(readTss2Pem(writeTss2Pem(theirs)), theirs);
  await using tpm = await openTpm(chip);
  await using root = await createPrimary(tpm, HANDLE.owner, STORAGE_TEMPLATE);
  await using key = await load(tpm, root, theirs);
  t.ok(
    verify("sha256", WORDS, { key: publicKeyObject(key.area), dsaEncoding: "ieee-p1363" }, p1363(await sign(tpm, key, DIGEST))),
  );
});
