// The captured agent, alone with a TPM that the warden owns: what it cannot do, and what it can.
import { createHash, randomBytes } from "node:crypto";
import { test } from "tap";
import {
  clearControl,
  create,
  dictionaryAttackLockReset,
  dictionaryAttackParameters,
  evictControl,
  FIRST_HANDLE,
  HANDLE,
  handlesFrom,
  hierarchyChangeAuth,
  load,
  lockoutState,
  NO_PASSWORD,
  nvIncrement,
  nvReadPublic,
  nvUndefineSpace,
  nvWrite,
  OBJECT,
  publicKeyObject,
  p1363,
  readPublicOf,
  sign,
  SIGNING_TEMPLATE,
  type Tpm,
} from "../../../hal/linux/tpm/index.ts";
import { LOOK_MS } from "../../../warden/tpm/limits.ts";
import { openTpm } from "../../lab/counterparts/swtpm.ts";
import { openTpm2Tools } from "../../lab/counterparts/tpm2-tools.ts";
import { tpmRelay } from "../../lab/counterparts/tpm-relay.ts";
import { needs } from "../../lab/runner/needs.ts";
import { ownedChip } from "../../lab/worlds/owned-chip.ts";

const skip = needs("swtpm", "tpm2-tools");
const [ROOT, ENDORSEMENT, COUNTER] = [0x8100_0001, 0x8101_0001, 0x0180_5a11];
const EMPTY = new Uint8Array();
const GUESS = { kind: "password", auth: Buffer.from("a guess") } as const;

/** What the agent tries by our own commands, with no password and with a guess. */
const ATTEMPTS: Readonly<Record<string, (tpm: Tpm, auth: typeof GUESS | typeof NO_PASSWORD) => Promise<unknown>>> = {
  "take the owner hierarchy": (tpm, auth) => hierarchyChangeAuth(tpm, HANDLE.owner, EMPTY, auth),
  "take the endorsement hierarchy": (tpm, auth) => hierarchyChangeAuth(tpm, HANDLE.endorsement, EMPTY, auth),
  "remove the counter": async (tpm, auth) => nvUndefineSpace(tpm, await nvReadPublic(tpm, COUNTER), auth),
  "raise the counter": async (tpm, auth) => nvIncrement(tpm, await nvReadPublic(tpm, COUNTER), "index", auth),
  "write the counter": async (tpm, auth) => nvWrite(tpm, await nvReadPublic(tpm, COUNTER), new Uint8Array(8), "index", auth),
  "write the counter as the owner": async (tpm, auth) =>
    nvWrite(tpm, await nvReadPublic(tpm, COUNTER), new Uint8Array(8), "owner", auth),
  "evict the storage root": async (tpm, auth) => evictControl(tpm, await readPublicOf(tpm, ROOT), ROOT, auth),
  "evict the endorsement key": async (tpm, auth) => evictControl(tpm, await readPublicOf(tpm, ENDORSEMENT), ENDORSEMENT, auth),
};

/** The lockout hierarchy is locked by the first wrong try, and refuses the others for that. */
const LOCKOUT_ATTEMPTS: typeof ATTEMPTS = {
  "change the limits": (tpm, auth) => dictionaryAttackParameters(tpm, { tries: 1, recoveryS: 1, lockoutRecoveryS: 1 }, auth),
  "reset the count of wrong tries": (tpm, auth) => dictionaryAttackLockReset(tpm, auth),
  "allow Clear": (tpm, auth) => clearControl(tpm, false, auth),
  "take the lockout hierarchy": (tpm, auth) => hierarchyChangeAuth(tpm, HANDLE.lockout, EMPTY, auth),
};

test(
  "[ID-51] with the TPM alone nobody clears, re-owns, undefines, writes or evicts what the warden owns",
  { skip },
  async (t) => {
    const world = await ownedChip(t);
    const owned = await world.start();
    const before = owned.state();
    {
      await using tpm = await openTpm(world.swtpm());
      for (const auth of [NO_PASSWORD, GUESS]) {
        for (const [what, attempt] of Object.entries(ATTEMPTS))
          await t.rejects(attempt(tpm, auth), { code: "tpm.auth-failed" }, what);
        t.equal((await lockoutState(tpm)).failures, 0, "no try of these counts towards a lockout");
        for (const [what, attempt] of Object.entries(LOCKOUT_ATTEMPTS))
          await t.rejects(attempt(tpm, auth), { code: /^tpm\.(?:auth-failed|locked-out)$/u }, what);
      }
      t.ok((await handlesFrom(tpm, FIRST_HANDLE.persistent)).includes(ROOT));
    }
    await using tools = await openTpm2Tools(world.swtpm());
    for (const [tool, ...args] of [
      ["clear", "-Q"],
      ["clear", "-Q", "-c", "l", "guess"],
      ["clearcontrol", "-Q", "-C", "l", "c"],
      ["changeauth", "-Q", "-c", "owner", "mine"],
      ["changeauth", "-Q", "-c", "endorsement", "mine"],
      ["changeauth", "-Q", "-c", "lockout", "mine"],
      ["nvundefine", "-Q", "-C", "o", "0x1805a11"],
      ["nvincrement", "-Q", "0x1805a11"],
      ["evictcontrol", "-Q", "-C", "o", "-c", "0x81000001"],
      ["evictcontrol", "-Q", "-C", "o", "-c", "0x81010001"],
      ["dictionarylockout", "-Q", "-s", "-n", "1", "-t", "100000", "-l", "100000"],
      ["dictionarylockout", "-Q", "-c"],
      ["createprimary", "-Q", "-C", "e", "-c", "./e"],
    ] as const)
      await t.rejects(tools.run(tool, ...args), { code: "process.failed" }, `tpm2_${tool} ${args.join(" ")}`);
    await owned.stop();
    await world.cycle();
    const again = await world.start();
    t.same(again.state(), before);
    t.same(await again.release(), [], "the restart has unlocked the lockout hierarchy");
  },
);

test(
  "[ID-52] it can lock protected objects by one of its own: the device's key signs on, and the warden tells it",
  { skip },
  async (t) => {
    const world = await ownedChip(t);
    const owned = await world.start();
    {
      await using tpm = await openTpm(world.swtpm());
      const root = await readPublicOf(tpm, ROOT);
      const protectedOnes = { ...SIGNING_TEMPLATE, attributes: SIGNING_TEMPLATE.attributes & ~OBJECT.noDa };
      await using bait = await load(tpm, root, await create(tpm, root, protectedOnes, { password: randomBytes(16) }));
      for (let n = 0; n < 32; n++) await t.rejects(sign(tpm, bait, EMPTY, GUESS), { code: /^tpm\./u });
      await t.rejects(sign(tpm, bait, EMPTY, GUESS), { code: "tpm.locked-out" });
      const digest = createHash("sha256").update("signed in a lockout").digest();
      await using key = await load(tpm, root, await create(tpm, root, SIGNING_TEMPLATE));
      const signature = p1363(await sign(tpm, key, digest));
      t.equal(signature.length, 64);
      t.equal(publicKeyObject(key.area).asymmetricKeyType, "ec");
    }
    await world.clock.advance(LOOK_MS);
    await owned.passwords(); // it waits for the look
    t.match(owned.details(), { ownership: "ours", lockedOut: true, failures: 32, failuresMax: 32 });
    t.match(owned.troubles(), [{ code: "tpm.locked-out", message: /the device's key is not among them/u }]);
    t.match(world.records.at(-1), { event: "tpm.lockout", detail: { failures: 32, failuresMax: 32, recoveryS: 600 } });
    const { length } = world.records;
    await world.clock.advance(LOOK_MS);
    await owned.passwords();
    t.equal(world.records.length, length, "it is told once");
    t.same(await owned.release(), [], "nor does it keep the warden from its own");
  },
);

test(
  "[ID-51] who listens between processor and chip hears no password, from taking it to handing it back",
  { skip },
  async (t) => {
    const world = await ownedChip(t);
    const relay = await tpmRelay(
      t,
      () => world.swtpm().port,
      () => world.swtpm().cut(),
    );
    const taking = await world.start({ tcti: relay.tcti });
    const passwords = Object.values((await taking.passwords()) ?? {});
    t.equal(new Set(passwords).size, 4);
    await taking.stop();
    const keeping = await world.start({ tcti: relay.tcti });
    await keeping.release();
    for (const password of passwords) t.notOk(relay.heard.includes(password));
    const random = /0000017b0020.*?80010000002c000000000020([0-9a-f]{64})/u.exec(relay.heard)?.[1];
    t.ok(random, "the relay hears what is in clear: the chip's random numbers");
  },
);
