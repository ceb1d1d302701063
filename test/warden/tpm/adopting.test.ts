// The state is lost, and the passwords come back from the escrow: on a real TPM.
import { createHash, randomBytes, verify } from "node:crypto";
import { chmod, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Test, test } from "tap";
import { Fault } from "../../../hal/fault.ts";
import { deviceIdSchema } from "../../../hal/format/identity.ts";
import { check } from "../../../hal/format/schema.ts";
import { linuxTpmChip } from "../../../hal/linux/chip/index.ts";
import { linuxFiles } from "../../../hal/linux/files/index.ts";
import {
  create,
  load,
  p1363,
  PERSISTENT,
  publicKeyObject,
  readPublicOf,
  sign,
  SIGNING_TEMPLATE,
} from "../../../hal/linux/tpm/index.ts";
import type { TpmChip } from "../../../hal/ports.ts";
import { encodeNote, signNote } from "../../../warden/audit/format/index.ts";
import { type ChipSecrets, encodeSecrets, openSecrets, parseEscrowNote } from "../../../warden/escrow/format/index.ts";
import { openEscrow } from "../../../warden/escrow/index.ts";
import { adoptPasswords, createPasswordKeeper } from "../../../warden/tpm/index.ts";
import { makeSigner } from "../../lab/counterparts/hub-signer.ts";
import { openTpm } from "../../lab/counterparts/swtpm.ts";
import { openTpm2Tools } from "../../lab/counterparts/tpm2-tools.ts";
import { needs } from "../../lab/runner/needs.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";
import { escrowOwner, labSecrets } from "../../lab/worlds/escrow.ts";
import { type OwnedChip, ownedChip } from "../../lab/worlds/owned-chip.ts";

const skip = needs("swtpm");
const DEVICE = check(deviceIdSchema, "dev-1", "device id");
const RESTORE = "tpm-restore.json";
const REFUSED = "tpm-restore.refused.json";
const owner = escrowOwner();

/** A chip that was taken, what was escrowed of it, and then the warden's state is lost. */
async function lostState(t: Test) {
  const world = await ownedChip(t);
  const audit = makeSigner(`sallyport/1/${DEVICE}`, "ed25519");
  const escrow = await openEscrow({
    files: world.files,
    deviceId: DEVICE,
    owner: owner.key,
    sign: (text) => encodeNote({ text, signatures: [signNote(text, audit)] }),
    verifier: audit.verifier,
    witness: undefined,
    clock: world.clock,
  });
  const keeper = createPasswordKeeper(escrow);
  const owned = await world.start({ keeper });
  t.match(owned.details(), { escrowed: false, notEscrowed: /the hub has not confirmed/u });
  const state = escrow.state();
  if (state.state === "none") throw new RangeError(state.why);
  const secrets = openSecrets(parseEscrowNote(state.note).sealed, owner.privateKey);
  await owned.stop();
  world.files.contents.clear();
  return {
    world,
    secrets,
    give: (given: ChipSecrets | string = secrets) =>
      void world.files.contents.set(RESTORE, Buffer.from(typeof given === "string" ? given : encodeSecrets(given))),
  };
}

/** As a start of the warden: the record first, then the ownership. */
async function restart(world: OwnedChip, chip: (real: TpmChip) => TpmChip = (real) => real) {
  const port = chip(linuxTpmChip({ tcti: world.swtpm().tcti }));
  const fault = await adoptPasswords({
    chip: port,
    files: world.files,
    deviceId: DEVICE,
    record: async (entry) => void world.records.push(entry),
  });
  const owned = await world.start({ chip });
  return { fault, owned };
}

/** A key below the storage root, as the device's is. */
async function deviceKey(world: OwnedChip) {
  await using tpm = await openTpm(world.swtpm());
  const parent = await readPublicOf(tpm, PERSISTENT.storageRoot);
  return await create(tpm, parent, SIGNING_TEMPLATE);
}

async function signs(world: OwnedChip, key: Awaited<ReturnType<typeof deviceKey>>): Promise<boolean> {
  const content = randomBytes(32);
  await using tpm = await openTpm(world.swtpm());
  await using loaded = await load(tpm, await readPublicOf(tpm, PERSISTENT.storageRoot), key);
  const signature = await sign(tpm, loaded, createHash("sha256").update(content).digest());
  return verify("sha256", content, { key: publicKeyObject(loaded.area), dsaEncoding: "ieee-p1363" }, p1363(signature));
}

test(
  "[ID-56] the state is lost: the chip is nobody's until the escrowed passwords are put back; then it is ours, with the same key",
  { skip },
  async (t) => {
    const { world, give } = await lostState(t);
    const key = await deviceKey(world);
    const lost = await restart(world);
    t.match(lost.owned.details(), { ownership: "others", why: /back from the escrow/u });
    await lost.owned.stop();
    give();
    await world.cycle();
    const { fault, owned } = await restart(world);
    t.equal(fault, undefined);
    t.match(owned.details(), { ownership: "ours", clear: "forbidden", failures: 0 });
    t.notOk(world.files.contents.has(RESTORE), "the record with the passwords is gone");
    t.match(
      world.records.filter(({ event }) => event === "tpm.adopted"),
      [{ result: "ok" }],
    );
    t.ok(await signs(world, key));
    t.same(await owned.release(), [], "and it can be handed back, which needs every password");
  },
);

test(
  "[ID-56] a record of another device, of another chip, with wrong passwords, or damaged is kept aside, and nothing else changes",
  { skip },
  async (t) => {
    const { world, secrets, give } = await lostState(t);
    const wrong = { ...secrets.passwords, owner: "ab".repeat(32) };
    for (const [what, record, code, words] of [
      [
        "another device",
        { ...secrets, deviceId: check(deviceIdSchema, "dev-2", "id") },
        "escrow.not-this-device",
        /"dev-2".*"dev-1"/u,
      ],
      [
        "another chip",
        { ...secrets, storage: `000b${"11".repeat(32)}`, endorsement: `000b${"22".repeat(32)}` },
        "escrow.not-this-device",
        /of another TPM/u,
      ],
      ["cleared since", { ...secrets, storage: `000b${"11".repeat(32)}` }, "escrow.not-this-device", /was cleared since/u],
      ["an older password", { ...secrets, passwords: wrong }, "escrow.refused", /owner password is not the one/u],
      ["cut", encodeSecrets(secrets).slice(0, -9), "escrow.invalid", /not the JSON object/u],
      ["empty", "", "escrow.invalid", /./u],
    ] as const) {
      give(record);
      const bytes = world.files.contents.get(RESTORE);
      const tried: string[] = [];
      const { fault, owned } = await restart(world, (real) => ({
        ...real,
        proves: async (whose, auths) => (tried.push(whose), await real.proves(whose, auths)),
      }));
      t.match(fault, { code, message: words }, what);
      t.notOk(tried.includes("lockout"), `${what}: the lockout password is not tried`);
      t.match(owned.state(), { ownership: "others" });
      t.same([...world.files.contents.keys()], [REFUSED]);
      t.same(world.files.contents.get(REFUSED), bytes);
      t.match(world.records.at(-1), { event: "tpm.adopted", result: "refused", detail: { code } });
      await owned.stop();
      world.files.contents.clear();
    }
    give();
    t.equal((await restart(world)).fault, undefined, "the right one works after all of them");
  },
);

test("[ID-56] a wrong lockout password is tried once and never again, however often the warden starts", { skip }, async (t) => {
  const { world, secrets, give } = await lostState(t);
  give({ ...secrets, passwords: { ...secrets.passwords, lockout: "cd".repeat(32) } });
  const tried: string[] = [];
  for (let start = 0; start < 3; start += 1) {
    const { owned } = await restart(world, (real) => ({
      ...real,
      proves: async (whose, auths) => (tried.push(whose), await real.proves(whose, auths)),
    }));
    t.match(owned.state(), { ownership: "others", lockedOut: false });
    await owned.stop();
    await world.cycle();
  }
  t.equal(tried.filter((whose) => whose === "lockout").length, 1);
});

test("[ID-56] a power cut at any write loses neither the record nor the chip", { skip }, async (t) => {
  const { world, give } = await lostState(t);
  for (let n = 1; ; n += 1) {
    world.files.contents.clear();
    give();
    world.files.faults.failAt(n, "file.write-failed");
    const before = world.files.faults.changes;
    const fault = await adoptPasswords({
      chip: linuxTpmChip({ tcti: world.swtpm().tcti }),
      files: world.files,
      deviceId: DEVICE,
      record: async () => undefined,
    });
    if (fault === undefined) {
      t.ok(n > 2, `${world.files.faults.changes - before} changes`);
      break;
    }
    t.match(fault, { message: /stays where it is/u });
    world.files.faults.heal();
    const { fault: again, owned } = await restart(world);
    t.equal(again, undefined);
    t.match(owned.state(), { ownership: "ours" }, `after a cut at change ${n}`);
    t.notOk(world.files.contents.has(RESTORE));
    await owned.stop();
  }
  world.files.faults.heal();
});

test(
  "[ID-56] the other way back: a clear from the firmware, after which the chip is taken anew and the old record is refused",
  { skip: needs("swtpm", "tpm2-tools") },
  async (t) => {
    const { world, give } = await lostState(t);
    await using tools = await openTpm2Tools(world.swtpm());
    // What firmware does for "Clear TPM": it may, whatever the owner has forbidden.
    await tools.run("clearcontrol", "-C", "p", "c");
    await tools.run("clear", "-c", "p");
    give();
    const { fault, owned } = await restart(world);
    t.match(fault, { code: "escrow.not-this-device", message: /cleared since/u });
    t.match(owned.state(), { ownership: "ours", clear: "forbidden" });
    await owned.stop();
    give();
    t.match(
      (await restart(world)).fault,
      { code: "escrow.not-this-device", message: /cleared since/u },
      "also once it is ours again",
    );
  },
);

test("[ID-56] a chip that does not answer costs the record nothing", { skip }, async (t) => {
  const { world, give } = await lostState(t);
  give();
  const { swtpm } = world;
  const { tcti } = swtpm();
  await swtpm().cut();
  const fault = await adoptPasswords({
    chip: linuxTpmChip({ tcti, timeoutMs: 1000 }),
    files: world.files,
    deviceId: DEVICE,
    record: async () => undefined,
  });
  t.match(fault, { code: "tpm.unreachable", message: /stays where it is, and is tried again/u });
  t.ok(world.files.contents.has(RESTORE));
  await world.cycle();
  t.equal((await restart(world)).fault, undefined);
});

test("[ID-56] [STA-30] a record that others may read is not taken, and the words say how to mend that", async (t) => {
  const directory = await temporaryDirectory(t);
  await chmod(directory, 0o700);
  await writeFile(join(directory, RESTORE), encodeSecrets(labSecrets()), { mode: 0o644 });
  const untouched = async (): Promise<never> => {
    throw new Fault("assert.broken", "the chip is not asked");
  };
  const fault = await adoptPasswords({
    chip: { look: untouched, proves: untouched },
    files: await linuxFiles(directory),
    deviceId: DEVICE,
    record: async () => undefined,
  });
  t.match(fault, { code: "file.untrusted-owner", message: /stays where it is.*chmod 600/u });
  t.same(await readdir(directory), [RESTORE]);
});
