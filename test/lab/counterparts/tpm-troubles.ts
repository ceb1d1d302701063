// What other programs do to a chip: tpm2-tools' commands by our own layer, each in one connection.
import {
  ALG,
  create,
  createPrimary,
  dictionaryAttackParameters,
  HANDLE,
  hierarchyChangeAuth,
  load,
  NO_PASSWORD,
  OBJECT,
  sign,
  SIGNING_TEMPLATE,
  STORAGE_TEMPLATE,
  evictControl,
  PERSISTENT,
} from "../../../hal/linux/tpm/index.ts";
import { Fault } from "../../../hal/fault.ts";
import { openTpm, type Swtpm } from "./swtpm.ts";

type Port = Pick<Swtpm, "port">;

/** Keeps the owner hierarchy's primary key at 0x81000001, as whoever owns a TPM does. */
export async function keepStorageRoot(chip: Port): Promise<void> {
  await using tpm = await openTpm(chip);
  await using root = await createPrimary(tpm, HANDLE.owner, STORAGE_TEMPLATE);
  await evictControl(tpm, root, PERSISTENT.storageRoot);
}

/** Sets the password of a hierarchy that has none. */
export async function setPassword(chip: Port, hierarchy: "owner" | "endorsement", password: string): Promise<void> {
  await using tpm = await openTpm(chip);
  await hierarchyChangeAuth(tpm, HANDLE[hierarchy], Buffer.from(password));
}

/** Loads primary keys and leaves them, as a program does that was killed. Two of three slots. */
export async function fillSlots(chip: Port): Promise<void> {
  const tpm = await openTpm(chip);
  await createPrimary(tpm, HANDLE.owner, STORAGE_TEMPLATE);
  await createPrimary(tpm, HANDLE.null, STORAGE_TEMPLATE);
  await tpm[Symbol.asyncDispose]();
}

/**
 * One wrong password for a protected object, where one is enough. The lockout lasts until it is
 * cleared.
 */
export async function lockOut(chip: Port): Promise<void> {
  await using tpm = await openTpm(chip);
  await dictionaryAttackParameters(tpm, { tries: 1, recoveryS: 100_000, lockoutRecoveryS: 100_000 });
  await using parent = await createPrimary(tpm, HANDLE.null, STORAGE_TEMPLATE);
  const template = { ...SIGNING_TEMPLATE, attributes: SIGNING_TEMPLATE.attributes & ~OBJECT.noDa };
  const blob = await create(tpm, parent, template, { password: Buffer.from("right") });
  await using key = await load(tpm, parent, blob);
  try {
    await sign(tpm, key, new Uint8Array(32), { ...NO_PASSWORD, kind: "password", auth: Buffer.from("wrong") }, ALG.sha256);
  } catch (error) {
    if (error instanceof Fault && error.code === "tpm.auth-failed") return;
    throw error;
  }
}
