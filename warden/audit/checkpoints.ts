// The signed checkpoints stored beside the log: the last one that the hub cosigned, and the one of
// the last orderly close. The log must pass through both.
import { Fault } from "../../hal/fault.ts";
import type { DurableFiles } from "../../hal/ports.ts";
import {
  type Checkpoint,
  closedName,
  decodeCheckpoint,
  decodeNote,
  encodeCheckpoint,
  encodeNote,
  NOTE_BYTES_MAX,
  signNote,
  type Verifier,
  verifyNote,
  witnessedName,
} from "./format/index.ts";
import type { AuditSigner } from "./key.ts";

export interface StoredCheckpoints {
  readonly witnessed: Checkpoint | undefined;
  readonly closed: Checkpoint | undefined;
}

/**
 * @throws Fault `note.invalid`, `note.bad-signature` when one of them was not signed by this key;
 *   those of {@link DurableFiles.get}.
 */
export async function loadCheckpoints(state: DurableFiles, epoch: number, own: Verifier): Promise<StoredCheckpoints> {
  const load = async (name: string): Promise<Checkpoint | undefined> => {
    const bytes = await state.get(name, NOTE_BYTES_MAX);
    return bytes === undefined ? undefined : openCheckpoint(Buffer.from(bytes).toString("utf8"), own);
  };
  return { witnessed: await load(witnessedName(epoch)), closed: await load(closedName(epoch)) };
}

export async function saveWitnessed(state: DurableFiles, epoch: number, note: string): Promise<void> {
  await state.put(witnessedName(epoch), Buffer.from(note));
}

export async function saveClosed(state: DurableFiles, epoch: number, note: string): Promise<void> {
  await state.put(closedName(epoch), Buffer.from(note));
}

/** [AUD-6] */
export function signCheckpoint(signer: AuditSigner, size: number, root: Uint8Array): string {
  const text = encodeCheckpoint({ origin: signer.verifier.name, size, root });
  return encodeNote({ text, signatures: [signNote(text, signer)] });
}

/** @throws Fault `note.invalid`, `note.bad-signature`. */
export function openCheckpoint(encoded: string, own: Verifier, witness?: Verifier): Checkpoint {
  const note = decodeNote(encoded);
  verifyNote(note, own);
  if (witness !== undefined) verifyNote(note, witness);
  const checkpoint = decodeCheckpoint(note.text);
  if (checkpoint.origin !== own.name)
    throw new Fault("note.invalid", `checkpoint of "${checkpoint.origin}": expected one of "${own.name}"`);
  return checkpoint;
}
