// Carries out one move on chip and record. What is written down comes before what is done with it.
// [ID-50]
import { createHash, randomBytes } from "node:crypto";
import { unreachable } from "../../hal/fault.ts";
import type { ChipAuths, ChipView, DurableFiles, TpmChip } from "../../hal/ports.ts";
import type { ChipMove, Situation } from "./decide.ts";
import { PASSWORD_BYTES } from "./limits.ts";
import {
  type ChipPasswords,
  type ChipRecord,
  readAside,
  recordBytes,
  setRecordAside,
  TPM_FILE,
  writeChipRecord,
} from "./record.ts";

type Proofs = { -readonly [K in keyof Situation["proofs"]]: Situation["proofs"][K] };

/** One pass over the chip, as it goes on. */
export interface Pass {
  record: ChipRecord | undefined;
  readonly proofs: Proofs;
  readonly made: Set<ChipMove["do"]>;
  readonly keyUnder: KeyUnder;
}

/**
 * The Name of the storage key that the device's key lies under. `unknown` for an old birth record,
 * whose key lies under the standard one. Undefined where the TPM has no key of the device.
 */
export type KeyUnder = string | undefined;

function isUnder(standard: string, keyUnder: KeyUnder): boolean {
  return keyUnder === standard || keyUnder === "unknown";
}

export interface MovePorts {
  readonly chip: TpmChip;
  readonly files: DurableFiles;
}

/** The auth values of now: a password of ours, where one is set. */
export function authsOf({ passwords }: ChipView, record: ChipRecord | undefined): ChipAuths {
  const none = new Uint8Array();
  const ours = (of: keyof ChipPasswords): Uint8Array => (record === undefined ? none : Buffer.from(record.passwords[of], "hex"));
  return {
    owner: passwords.owner ? ours("owner") : none,
    endorsement: passwords.endorsement ? ours("endorsement") : none,
    lockout: passwords.lockout ? ours("lockout") : none,
    counter: ours("counter"),
  };
}

/** @throws Fault `tpm.*`; those of `files`. */
export async function makeMove(
  ports: MovePorts,
  move: Exclude<ChipMove, { do: "rest" }>,
  pass: Pass,
  view: ChipView,
): Promise<void> {
  const { chip, files } = ports;
  switch (move.do) {
    case "begin":
      return await note(files, pass, await firstRecord(chip, view));
    case "set-aside":
      if (pass.record !== undefined) await setRecordAside(files, recordBytes(pass.record));
      await files.remove(TPM_FILE);
      pass.record = undefined;
      return;
    case "forget":
      await files.remove(TPM_FILE);
      pass.record = undefined;
      return;
    default:
      if (pass.record !== undefined) await withRecord(ports, move, { pass, view, record: pass.record });
  }
}

type RecordMove = Exclude<ChipMove, { do: "rest" | "begin" | "set-aside" | "forget" }>;

async function withRecord(
  { chip, files }: MovePorts,
  move: RecordMove,
  { pass, view, record }: { readonly pass: Pass; readonly view: ChipView; readonly record: ChipRecord },
): Promise<void> {
  const auths = authsOf(view, record);
  switch (move.do) {
    case "prove":
      pass.proofs[move.what] = await chip.proves(move.what, auths);
      return;
    case "note":
      return await note(files, pass, { ...record, ...move.change });
    case "keep-storage-root": {
      const { name, standard } = await chip.keepStorageRoot(auths);
      const storageKey = name === standard ? "standard" : isUnder(standard, pass.keyUnder) ? "beside" : "other";
      return await note(files, pass, { ...record, storage: name, storageKey });
    }
    case "keep-endorsement-key":
      return await note(files, pass, { ...record, endorsement: await chip.keepEndorsementKey(auths) });
    case "define-counter":
      await chip.defineCounter(auths);
      pass.proofs.counter = true;
      return;
    case "undefine-counter":
      await chip.undefineCounter(auths);
      delete pass.proofs.counter;
      return;
    case "limit-tries":
      return await chip.limitTries(move.limits, auths);
    case "forbid-clear":
      return await chip.forbidClear(auths);
    case "allow-clear":
      await chip.allowClear();
      return;
    case "set-password":
      await chip.setPassword(move.of, Buffer.from(record.passwords[move.of], "hex"), auths);
      if (move.of === "lockout") return await note(files, pass, { ...record, lockout: "set" });
      pass.proofs[move.of] = true;
      return;
    case "empty-password":
      await chip.setPassword(move.of, new Uint8Array(), auths);
      return;
    case "evict":
      return await chip.evict(move.what, auths);
    default:
      return unreachable(move);
  }
}

/** Durable before it counts. */
async function note(files: DurableFiles, pass: Pass, record: ChipRecord): Promise<void> {
  await writeChipRecord(files, record);
  pass.record = record;
}

/** Each password is a hash over bytes of the kernel and of the chip: one good source is enough. */
async function firstRecord(chip: TpmChip, view: ChipView): Promise<ChipRecord> {
  const password = async (): Promise<string> =>
    createHash("sha256")
      .update(randomBytes(PASSWORD_BYTES))
      .update(await chip.random(PASSWORD_BYTES))
      .digest("hex");
  return {
    v: 1,
    step: "taking",
    passwords: {
      owner: await password(),
      endorsement: await password(),
      lockout: await password(),
      counter: await password(),
    },
    lockout: "unset",
    made: { storage: view.storage === undefined, endorsement: view.endorsement === undefined },
    before: view.limits,
  };
}

/**
 * Takes up a record that was set aside where it fits the chip and the present one does not: the
 * chip, or the disk, was in another device for a while.
 */
export async function takeUpFormer(files: DurableFiles, pass: Pass, view: ChipView): Promise<void> {
  const name = view.storage?.name;
  const hasOwner = view.passwords.owner || view.passwords.endorsement;
  if (name === undefined || !hasOwner || pass.record?.storage === name) return;
  const former = (await readAside(files)).find(({ storage }) => storage === name);
  if (former === undefined) return;
  if (pass.record !== undefined) await setRecordAside(files, recordBytes(pass.record));
  await note(files, pass, former);
}
