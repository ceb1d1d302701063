// The checks of a witness on a delivery of audit records before it cosigns. Pure. [AUD-8] [AUD-9]
import { Fault } from "../../../hal/fault.ts";
import { type Checkpoint, decodeCheckpoint, decodeNote, type Note, type Verifier, verifyNote } from "./note.ts";
import { decodeAuditRecord } from "./record.ts";
import { appendLeaf, type Frontier, frontierRoot, leafHash, verifyConsistency } from "./tree.ts";

export interface AuditDelivery {
  readonly oldSize: number;
  /** A signed note. */
  readonly checkpoint: string;
  readonly proof: readonly Uint8Array[];
  /** The encoded records from `oldSize` to the checkpoint's size. */
  readonly records: readonly Uint8Array[];
}

export interface VerifiedDelivery {
  readonly note: Note;
  readonly checkpoint: Checkpoint;
  /** The tree of the checkpoint, which the witness holds from now on. */
  readonly tree: Frontier;
}

/**
 * Checks that `delivery` continues the tree `witnessed`: signature, proof and every leaf. It does
 * not need the witness's own key, because the witness signs afterwards.
 * @throws Fault `note.invalid`, `note.bad-signature`; `witness.conflict` when the delivery starts
 *   elsewhere than `witnessed` ends, or is shorter (rolled back or wiped); `proof.invalid`;
 *   `schema.invalid`, `json.*` for a malformed record.
 */
export function verifyDelivery(witnessed: Frontier, delivery: AuditDelivery, auditKey: Verifier): VerifiedDelivery {
  const note = decodeNote(delivery.checkpoint);
  verifyNote(note, auditKey);
  const checkpoint = decodeCheckpoint(note.text);
  if (checkpoint.origin !== auditKey.name)
    throw new Fault("note.invalid", `checkpoint of "${checkpoint.origin}": expected one of "${auditKey.name}"`);
  if (checkpoint.size < witnessed.size) {
    throw new Fault(
      "witness.conflict",
      `"${checkpoint.origin}" has ${checkpoint.size} entries, ${witnessed.size} were witnessed: rolled back or wiped`,
    );
  }
  if (delivery.oldSize !== witnessed.size)
    throw new Fault("witness.conflict", `delivery starts at entry ${delivery.oldSize}, expected ${witnessed.size}`);
  if (delivery.records.length !== checkpoint.size - witnessed.size) {
    throw new Fault(
      "proof.invalid",
      `delivery of entries ${witnessed.size} to ${checkpoint.size - 1} has ${delivery.records.length} records`,
    );
  }
  verifyConsistency(witnessed.size, frontierRoot(witnessed), checkpoint.size, checkpoint.root, delivery.proof);
  let tree = witnessed;
  for (const record of delivery.records) {
    const { seq } = decodeAuditRecord(record);
    if (seq !== tree.size) throw new Fault("proof.invalid", `record ${tree.size} of the delivery has number ${seq}`);
    tree = appendLeaf(tree, leafHash(record));
  }
  if (Buffer.compare(frontierRoot(tree), checkpoint.root) !== 0)
    throw new Fault("proof.invalid", `the records up to entry ${tree.size - 1} are not those of the checkpoint's tree`);
  return { note, checkpoint, tree };
}
