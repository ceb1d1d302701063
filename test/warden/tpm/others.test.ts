// A TPM that other programs, the firmware or another board had in their hands.
import { chmod, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { linuxFiles } from "../../../hal/linux/index.ts";
import {
  createPrimary,
  evictControl,
  HANDLE,
  hierarchyChangeAuth,
  NV,
  nvDefineSpace,
  ownership,
  readPublicOf,
  RSA_STORAGE_TEMPLATE,
  STORAGE_TEMPLATE,
} from "../../../hal/linux/tpm/index.ts";
import { LOOK_MS } from "../../../warden/tpm/limits.ts";
import { readAside } from "../../../warden/tpm/record.ts";
import { openTpm, startSwtpm } from "../../lab/counterparts/swtpm.ts";
import { openTpm2Tools } from "../../lab/counterparts/tpm2-tools.ts";
import { needs } from "../../lab/runner/needs.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";
import { ownedChip } from "../../lab/worlds/owned-chip.ts";

const skip = needs("swtpm", "tpm2-tools");
const ROOT = 0x8100_0001;

test(
  "[ID-52] a key of another kind at 0x81000001, or an index in the place of ours, leaves the chip alone",
  { skip },
  async (t) => {
    const world = await ownedChip(t);
    {
      await using tpm = await openTpm(world.swtpm());
      await using rsa = await createPrimary(tpm, HANDLE.owner, RSA_STORAGE_TEMPLATE);
      await evictControl(tpm, rsa, ROOT);
    }
    const left = await world.start();
    t.match(left.details(), { ownership: "others", why: /the key at 0x81000001 is no storage root of P-256/u });
    await left.stop();
    const other = await ownedChip(t);
    {
      await using tpm = await openTpm(other.swtpm());
      const attributes = NV.ownerRead | NV.ownerWrite;
      await nvDefineSpace(tpm, { index: 0x0180_5a11, attributes, authPolicy: new Uint8Array(), bytes: 8 });
    }
    t.match((await other.start()).details(), { ownership: "others", why: /NV index 0x1805a11/u });
    for (const { files } of [world, other]) t.same([...files.contents.keys()], []);
  },
);

test(
  "[ID-51] a storage key of P-256 that was there is used, unless the device's key lies under the standard one",
  { skip },
  async (t) => {
    const world = await ownedChip(t);
    await using tools = await openTpm2Tools(world.swtpm());
    const attributes = "restricted|decrypt|fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda";
    await tools.write(
      "unique",
      Buffer.concat([Buffer.from([32, 0]), Buffer.alloc(32, 7), Buffer.from([32, 0]), Buffer.alloc(32, 7)]),
    );
    await tools.run(
      "createprimary",
      "-Q",
      "-C",
      "o",
      "-G",
      "ecc256:null:aes128cfb",
      "-a",
      attributes,
      "-u",
      "./unique",
      "-c",
      "./primary",
    );
    await tools.run("evictcontrol", "-Q", "-C", "o", "-c", "./primary", "0x81000001");
    await tools.run("flushcontext", "-t");
    {
      const born = await world.start({ keyUnder: "unknown" });
      t.match(born.details(), {
        ownership: "others",
        storageKey: "beside",
        why: /not the one that this device's key lies under/u,
      });
      await born.stop();
      await using tpm = await openTpm(world.swtpm());
      await using primary = await createPrimary(tpm, HANDLE.owner, STORAGE_TEMPLATE);
      t.ok(primary.name, "no password is in the way of the device's key");
    }
    world.files.contents.clear();
    const owned = await world.start();
    t.match(owned.details(), { ownership: "ours", storageKey: "other" });
    t.same(await owned.release(), []);
    await using tpm = await openTpm(world.swtpm());
    t.ok(await readPublicOf(tpm, ROOT), "what was there stays there");
  },
);

test(
  "[ID-52] a chip that the firmware cleared is taken anew with other passwords, and the record is kept aside",
  { skip },
  async (t) => {
    const world = await ownedChip(t);
    const escrow = { kept: 0 };
    const keeper = {
      keep: async () => void (escrow.kept += 1),
      drop: () => void (escrow.kept = 0),
      whyNotEscrowed: () => (escrow.kept === 1 ? undefined : "not yet"),
    };
    const owned = await world.start({ keeper });
    const before = owned.state();
    const passwords = await owned.passwords();
    t.equal(owned.state().escrowed, true);
    await owned.stop();
    await using tools = await openTpm2Tools(world.swtpm());
    await tools.run("clearcontrol", "-Q", "-C", "p", "c");
    await tools.run("clear", "-Q", "-c", "p");
    await world.cycle();
    const again = await world.start({ keeper });
    t.equal(escrow.kept, 2, "other passwords are given to the escrow");
    t.match(again.state(), { ownership: "ours", clear: "forbidden", escrowed: false, endorsement: before.endorsement });
    t.not(again.state().storage, before.storage);
    t.notMatch(await again.passwords(), passwords);
    t.match(again.troubles(), [{ code: "tpm.cleared", message: /cleared from outside/u }]);
    t.match(
      world.records.map(({ event }) => event),
      ["tpm.owned", "tpm.owner-changed", "tpm.owned"],
    );
    t.ok(world.files.contents.has("tpm-aside.json"));
    await again.stop();
    t.same((await world.start()).troubles(), [], "the next start has nothing to tell");
  },
);

test(
  "[ID-52] in another board the disk takes that board's chip, and back in its own it has its own again",
  { skip },
  async (t) => {
    const world = await ownedChip(t);
    const owned = await world.start();
    const [state, passwords] = [owned.state(), await owned.passwords()];
    await owned.stop();
    const other = await startSwtpm();
    t.teardown(other.stop);
    const visitor = await world.start({ tcti: other.tcti });
    t.match(visitor.state(), { ownership: "ours" });
    t.match(visitor.troubles(), [{ code: "tpm.cleared" }]);
    await visitor.stop();
    const back = await world.start();
    t.same(back.state(), state);
    t.same(await back.passwords(), passwords);
    await back.stop();
    const visited = await world.start({ tcti: other.tcti });
    t.match(visited.state(), { ownership: "ours" }, "and the other board's in that board");
    await visited.stop();
    t.match((await world.start()).state(), state);
  },
);

test(
  "[ID-52] without its record a chip that the warden took is somebody else's, in words that name both ways",
  { skip },
  async (t) => {
    const world = await ownedChip(t);
    await (await world.start()).stop();
    const record = world.files.contents.get("tpm.json") ?? new Uint8Array();
    world.files.contents.delete("tpm.json");
    const lost = await world.start();
    t.match(lost.details(), {
      ownership: "others",
      clear: "forbidden",
      why: /owner, endorsement, lockout.*escrow.*clear from the firmware/u,
    });
    t.same(await lost.release(), [], "there is nothing to hand back with");
    await lost.stop();
    world.files.contents.set("tpm.json", record);
    t.match((await world.start()).state(), { ownership: "ours" }, "put back from the escrow it is ours");
  },
);

test("[STA-4] a damaged record is set aside and told, and the chip is not taken for another's silently", { skip }, async (t) => {
  const world = await ownedChip(t);
  await (await world.start()).stop();
  const record = world.files.contents.get("tpm.json") ?? new Uint8Array();
  for (const damage of [record.slice(0, 40), Buffer.from("{}"), new Uint8Array(), Buffer.from(record).fill("x", 3, 9)]) {
    world.files.contents.set("tpm.json", damage);
    const damaged = await world.start();
    t.match(damaged.state(), { ownership: "others" });
    t.match(
      damaged.troubles().map(({ message }) => message),
      [
        /TPM belongs to somebody else/u,
        damage.byteLength === 0 ? /passwords.*it is empty, and/u : /the record of the TPM's passwords.*set aside/u,
      ],
    );
    await damaged.stop();
    t.same(world.files.contents.get("tpm.json"), damage, "it stays where it is");
    const aside = Buffer.from(world.files.contents.get("tpm-aside.json") ?? []).toString();
    t.ok(damage.byteLength === 0 || aside.includes(Buffer.from(damage).toString("base64")));
  }
  world.files.contents.set("tpm.json", record);
  t.match((await world.start()).state(), { ownership: "ours" });
});

test("[STA-5] a newer program's record is used as far as it is known, and is not overwritten", { skip }, async (t) => {
  const world = await ownedChip(t);
  await (await world.start()).stop();
  const text = Buffer.from(world.files.contents.get("tpm.json") ?? []).toString();
  const newer = text.replace('"readable":1', '"readable":2').replace('"v":1', '"v":2');
  const later = newer.replace('"lockout":', '"later":{"than":"this"},"lockout":');
  world.files.contents.set("tpm.json", Buffer.from(later));
  const legible = await world.start();
  t.match(legible.state(), { ownership: "ours" });
  await legible.stop();
  world.files.contents.set("tpm.json", Buffer.from('{"readable":2,"v":2}'));
  const illegible = await world.start();
  t.match(illegible.details(), { ownership: "unknown", why: /newer program/u });
  await illegible.stop();
  t.equal(Buffer.from(world.files.contents.get("tpm.json") ?? []).toString(), '{"readable":2,"v":2}');
});

test("[ID-52] a machine that leaves its chip takes none, and keeps one that it took", { skip }, async (t) => {
  const world = await ownedChip(t);
  const left = await world.start({ ownership: "leave" });
  t.match(left.state(), { present: true, ownership: "nobody", clear: "possible" });
  await left.stop();
  await (await world.start()).stop();
  t.match((await world.start({ ownership: "leave" })).state(), { ownership: "ours" });
});

test("[ID-52] a password that somebody removed is noticed without a restart, and set again", { skip }, async (t) => {
  const world = await ownedChip(t);
  const owned = await world.start();
  const { owner = "" } = (await owned.passwords()) ?? {};
  {
    await using tpm = await openTpm(world.swtpm());
    await hierarchyChangeAuth(tpm, HANDLE.owner, new Uint8Array(), { kind: "password", auth: Buffer.from(owner, "hex") });
  }
  const isSet = async (): Promise<boolean> => {
    await using tpm = await openTpm(world.swtpm());
    return (await ownership(tpm)).hasOwnerPassword;
  };
  t.equal(await isSet(), false);
  await world.clock.advance(LOOK_MS);
  await owned.passwords(); // it waits for the pass that the look began
  t.equal(await isSet(), true, "it is set again");
  t.match(owned.state(), { ownership: "ours" });
});

test(
  "[STA-30] a record that others may read is not used, nor replaced, and the message has the command that mends it",
  { skip },
  async (t) => {
    const world = await ownedChip(t);
    const directory = await temporaryDirectory(t);
    const files = await linuxFiles(directory);
    await (await world.start({ files })).stop();
    const path = join(directory, "tpm.json");
    t.equal((await stat(path)).mode & 0o777, 0o600);
    const before = await readFile(path, "utf8");
    await chmod(path, 0o640);
    const readable = await world.start({ files });
    t.match(readable.details(), { ownership: "unknown", why: /chmod 600/u });
    t.equal(readable.state().clear, "unknown", "nothing that was not asked is claimed");
    t.notMatch(readable.details().why, /\bkey\b/u, "nobody is told to replace the device's key for it");
    t.match(readable.troubles(), [{ code: "file.untrusted-owner" }]);
    await readable.stop();
    t.equal(await readFile(path, "utf8"), before);
    await chmod(path, 0o600);
    t.match((await world.start({ files })).state(), { ownership: "ours" });
  },
);

test(
  "[ID-52] the newest four records of former chips are kept, and a damaged file of them counts as none",
  { skip },
  async (t) => {
    const world = await ownedChip(t);
    const asides = async (): Promise<readonly (string | undefined)[]> =>
      (await readAside(world.files)).map(({ storage }) => storage);
    const roots: (string | undefined)[] = [];
    await using tools = await openTpm2Tools(world.swtpm());
    for (let n = 0; n < 6; n++) {
      const owned = await world.start();
      roots.unshift(owned.state().storage);
      await owned.stop();
      await tools.run("clearcontrol", "-Q", "-C", "p", "c");
      await tools.run("clear", "-Q", "-c", "p");
    }
    t.same(await asides(), roots.slice(1, 5));
    world.files.contents.set("tpm-aside.json", Buffer.from("damaged"));
    const owned = await world.start();
    t.match(owned.state(), { ownership: "ours" });
    t.same(await asides(), roots.slice(0, 1));
  },
);

test("[ID-50] [ID-52] on a chip that was cleared a lockout password is another's, and is not tried", { skip }, async (t) => {
  const world = await ownedChip(t);
  await (await world.start()).stop();
  const record = world.files.contents.get("tpm.json");
  await using tools = await openTpm2Tools(world.swtpm());
  await tools.run("clearcontrol", "-Q", "-C", "p", "c");
  await tools.run("clear", "-Q", "-c", "p");
  await tools.run("changeauth", "-Q", "-c", "lockout", "theirs");
  const left = await world.start();
  t.match(left.details(), {
    ownership: "others",
    why: /cleared or is another one, and its lockout password is not this device's/u,
  });
  t.same(world.files.contents.get("tpm.json"), record, "the record stays");
  await left.stop();
  await tools.run("clear", "-Q", "-c", "l", "theirs");
  t.match((await world.start()).state(), { ownership: "ours" }, "cleared by its owner it is taken");
});
