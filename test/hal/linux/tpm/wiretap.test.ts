// What passes on the wire to the TPM: no password and no secret, in any command that has one.
import { createHash } from "node:crypto";
import { test } from "tap";
import {
  ALG,
  clearControl,
  create,
  createPrimary,
  dictionaryAttackLockReset,
  dictionaryAttackParameters,
  evictControl,
  getRandom,
  HANDLE,
  hierarchyChangeAuth,
  load,
  NV,
  nvDefineSpace,
  nvIncrement,
  nvRead,
  nvReadPublic,
  nvUndefineSpace,
  nvWrite,
  permanent,
  policySecret,
  readPublicOf,
  RSA_STORAGE_TEMPLATE,
  sealTemplate,
  sign,
  SIGNING_TEMPLATE,
  startSession,
  STORAGE_TEMPLATE,
  type Tpm,
  unseal,
} from "../../../../hal/linux/tpm/index.ts";
import type { Authorization, TpmSession } from "../../../../hal/linux/tpm/session.ts";
import { openTpm, startSwtpm } from "../../../lab/counterparts/swtpm.ts";
import { openWiretap } from "../../../lab/counterparts/wiretap.ts";
import { needs } from "../../../lab/runner/needs.ts";

const ROOT = 0x8100_0001;
const CHILD = 0x8100_0002;
const DIGEST = createHash("sha256").update("words").digest();
/** Each is long and its own, so that hearing one tells which command gave it away. */
const SECRETS = {
  owner: "password of the owner",
  endorsement: "password of the endorsement",
  lockout: "password of the lockout",
  parent: "password of the parent",
  key: "password of the key",
  seal: "password of the seal",
  sealed: "what is sealed",
  index: "password of the index",
  counter: "password of the counter",
  written: "what the index holds",
} as const;
const bytes = (name: keyof typeof SECRETS): Buffer => Buffer.from(SECRETS[name]);
const EMPTY = new Uint8Array();
const INDEX = { attributes: NV.authRead | NV.authWrite | NV.noDa, authPolicy: EMPTY };

/** Every command that has a password or a secret, in one salted session. */
async function useAll(tpm: Tpm, session: TpmSession): Promise<Uint8Array> {
  const by = (name?: keyof typeof SECRETS): Authorization => ({
    kind: "hmac",
    session,
    auth: name === undefined ? EMPTY : bytes(name),
  });
  for (const name of ["owner", "endorsement", "lockout"] as const)
    await hierarchyChangeAuth(tpm, HANDLE[name], bytes(name), by());
  await clearControl(tpm, true, by("lockout"));
  await dictionaryAttackParameters(tpm, { tries: 9, recoveryS: 60, lockoutRecoveryS: 60 }, by("lockout"));
  await dictionaryAttackLockReset(tpm, by("lockout"));
  await useObjects(tpm, by);
  await useIndices(tpm, by);
  {
    await using policy = await startSession(tpm, "policy");
    await policySecret(tpm, policy, permanent(HANDLE.endorsement), by("endorsement"));
  }
  return await getRandom(tpm, 32, session);
}

type By = (name?: keyof typeof SECRETS) => Authorization;

async function useObjects(tpm: Tpm, by: By): Promise<void> {
  {
    await using primary = await createPrimary(tpm, HANDLE.owner, STORAGE_TEMPLATE, {
      auth: by("owner"),
      password: bytes("parent"),
    });
    await evictControl(tpm, primary, CHILD, by("owner"));
  }
  const parent = await readPublicOf(tpm, CHILD);
  {
    await using key = await load(
      tpm,
      parent,
      await create(tpm, parent, SIGNING_TEMPLATE, { auth: by("parent"), password: bytes("key") }),
      by("parent"),
    );
    await sign(tpm, key, DIGEST, by("key"), ALG.sha256);
  }
  const sealed = await create(tpm, parent, sealTemplate(), {
    auth: by("parent"),
    password: bytes("seal"),
    data: bytes("sealed"),
  });
  await using item = await load(tpm, parent, sealed, by("parent"));
  await unseal(tpm, item, by("seal"));
}

async function useIndices(tpm: Tpm, by: By): Promise<void> {
  const index = { ...INDEX, index: 0x0180_0001, bytes: SECRETS.written.length };
  await nvDefineSpace(tpm, index, { password: bytes("index"), auth: by("owner") });
  await nvWrite(tpm, await nvReadPublic(tpm, index.index), bytes("written"), "index", by("index"));
  await nvRead(tpm, await nvReadPublic(tpm, index.index), "index", by("index"));
  const counter = { ...INDEX, index: 0x0180_0002, attributes: INDEX.attributes | NV.counter, bytes: 8 };
  await nvDefineSpace(tpm, counter, { password: bytes("counter"), auth: by("owner") });
  await nvIncrement(tpm, await nvReadPublic(tpm, counter.index), "index", by("counter"));
  await nvUndefineSpace(tpm, await nvReadPublic(tpm, counter.index), by("owner"));
}

for (const [what, template] of [
  ["P-256", STORAGE_TEMPLATE],
  ["RSA", RSA_STORAGE_TEMPLATE],
] as const)
  test(
    `[ID-75] who listens to a session that is salted to a storage root of ${what} hears no secret`,
    { skip: needs("swtpm") },
    async (t) => {
      const chip = await startSwtpm();
      t.teardown(chip.stop);
      await using wire = await openWiretap(chip.port);
      await using tpm = await openTpm({ port: wire.port });
      {
        await using root = await createPrimary(tpm, HANDLE.owner, template);
        await evictControl(tpm, root, ROOT);
      }
      await using session = await startSession(tpm, "hmac", await readPublicOf(tpm, ROOT));
      const random = await useAll(tpm, session);
      for (const [name, secret] of Object.entries(SECRETS)) t.notOk(wire.hears(secret), `the secret "${name}" is not heard`);
      t.notOk(wire.hears(random), "random numbers are not heard");
      t.ok(wire.length > 4096);
      const inClear = { kind: "password", auth: bytes("owner") } as const;
      await evictControl(tpm, await readPublicOf(tpm, CHILD), CHILD, inClear);
      t.ok(wire.hears(SECRETS.owner), "a password in clear is heard: the ear works");
    },
  );
