// What needs the endorsement hierarchy goes through the warden: another program's credential for an
// attestation key is opened with the password that only the warden has.
import { test } from "tap";
import { ATTESTATION_TEMPLATE, create, nameOf, readPublicOf, writeTss2Pem } from "../../../hal/linux/tpm/index.ts";
import { openTpm } from "../../lab/counterparts/swtpm.ts";
import { openTpm2Tools, type Tpm2Tools } from "../../lab/counterparts/tpm2-tools.ts";
import { needs } from "../../lab/runner/needs.ts";
import { type OwnedChip, ownedChip } from "../../lab/worlds/owned-chip.ts";

const skip = needs("swtpm", "tpm2-tools");
const SECRET = Buffer.from("a secret of the hub, 32 bytes ..");

/** tpm2_makecredential's file: magic, version, then the two TPM2B. */
function credentialOf(file: Uint8Array): { readonly credential: Uint8Array; readonly secret: Uint8Array } {
  const bytes = Buffer.from(file);
  const first = bytes.readUInt16BE(8);
  const second = bytes.readUInt16BE(10 + first);
  return { credential: bytes.subarray(10, 10 + first), secret: bytes.subarray(12 + first, 12 + first + second) };
}

async function attestationKey({ swtpm }: OwnedChip): Promise<{ readonly pem: string; readonly name: string }> {
  await using tpm = await openTpm(swtpm());
  const root = await readPublicOf(tpm, 0x8100_0001);
  const blob = await create(tpm, root, ATTESTATION_TEMPLATE);
  const pem = writeTss2Pem({ ...blob, parent: 0x8100_0001, hasNoPassword: true });
  return { pem, name: Buffer.from(nameOf(blob.area)).toString("hex") };
}

async function madeFor(tools: Tpm2Tools, name: string): Promise<ReturnType<typeof credentialOf>> {
  await tools.write("secret", SECRET);
  await tools.run("makecredential", "-Q", "-T", "none", "-u", "./ek.pub", "-s", "./secret", "-n", name, "-o", "./blob");
  return credentialOf(await tools.read("blob"));
}

test(
  "[ID-51] the endorsement key is the one that tpm2_createek makes, and opens a credential only for the key it is for",
  { skip },
  async (t) => {
    const world = await ownedChip(t);
    await using tools = await openTpm2Tools(world.swtpm());
    await tools.run("createek", "-Q", "-G", "ecc", "-c", "./ek", "-u", "./ek.pub");
    await tools.run("flushcontext", "-t");
    const theirs = await tools.run("loadexternal", "-C", "n", "-u", "./ek.pub", "-c", "./external");
    await tools.run("flushcontext", "-t");
    const owned = await world.start();
    t.match(theirs.replaceAll(/\s/gu, ""), `name:${owned.state().endorsement}`);
    const [one, other] = [await attestationKey(world), await attestationKey(world)];
    const credential = await madeFor(tools, one.name);
    const opened = await owned.endorsement((chip, auths) => chip.activate(one.pem, credential, auths));
    t.same(Buffer.from(opened), SECRET);
    await t.rejects(
      owned.endorsement((chip, auths) => chip.activate(other.pem, credential, auths)),
      { code: /^tpm\./u },
    );
    t.same(Buffer.from(await owned.endorsement((chip, auths) => chip.activate(one.pem, credential, auths))), SECRET);
  },
);

test("[ID-51] where another endorsement key lies at its place, ours is derived for each use", { skip }, async (t) => {
  const world = await ownedChip(t);
  await using tools = await openTpm2Tools(world.swtpm());
  await tools.run("createek", "-Q", "-G", "rsa", "-c", "0x81010001");
  await tools.run("createek", "-Q", "-G", "ecc", "-c", "./ek", "-u", "./ek.pub");
  await tools.run("flushcontext", "-t");
  const owned = await world.start();
  t.match(owned.state(), { ownership: "ours", endorsement: /^000b/u });
  const key = await attestationKey(world);
  const credential = await madeFor(tools, key.name);
  t.same(Buffer.from(await owned.endorsement((chip, auths) => chip.activate(key.pem, credential, auths))), SECRET);
  t.same(await owned.release(), []);
  await using tpm = await openTpm(world.swtpm());
  t.equal((await readPublicOf(tpm, 0x8101_0001)).area.type, "rsa", "what was there stays there");
});

test("[ID-52] without ownership there is no access to the endorsement hierarchy", { skip }, async (t) => {
  const world = await ownedChip(t);
  const left = await world.start({ ownership: "leave" });
  await t.rejects(
    left.endorsement(async () => "done"),
    { code: "tpm.owned-by-others" },
  );
});
