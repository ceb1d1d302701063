// The witness's decision about a delivery. Pure: the stored head and the delivery go in, a verdict
// comes out. [AUD-8] [AUD-9] [AUD-27]
import { Fault } from "../../hal/fault.ts";
import { counted } from "../../hal/format/prose.ts";
import {
  appendLeaf,
  AUDIT_RECORD_BYTES_MAX,
  type Checkpoint,
  checkpointOrigin,
  decodeCheckpoint,
  decodeNote,
  EMPTY_FRONTIER,
  type Frontier,
  frontierRoot,
  leafHash,
  type Note,
  type Verifier,
  verifyConsistency,
  verifyNote,
} from "../../warden/audit/format/index.ts";
import { AUDIT_FRONTIER_RECORDS } from "../limits.ts";

export interface Head {
  readonly size: number;
  readonly root: Uint8Array;
  readonly frontier: Frontier;
}

export const EMPTY_HEAD: Head = { size: 0, root: frontierRoot(EMPTY_FRONTIER), frontier: EMPTY_FRONTIER };

export interface WitnessRequest {
  readonly oldSize: number;
  readonly checkpoint: string;
  readonly proof: readonly Uint8Array[];
  readonly records: readonly Uint8Array[];
}

export type WitnessVerdict =
  /**
   * The tree continues: store `records` and `head`, then cosign `note`. `passed` has the frontiers
   * at the sizes that are remembered.
   */
  | {
      readonly verdict: "extends";
      readonly note: Note;
      readonly head: Head;
      readonly records: readonly Uint8Array[];
      readonly passed: readonly Frontier[];
    }
  /** The tree is the stored one: cosign it again. */
  | { readonly verdict: "same"; readonly note: Note }
  /** A continuation, but not of the stored head: the device resumes from this size. */
  | { readonly verdict: "conflict"; readonly size: number }
  /** The device signed it, and it is shorter than a tree that it delivered before. */
  | { readonly verdict: "shorter"; readonly size: number; readonly checkpoint: Checkpoint }
  /** The device signed another tree of the stored size: proof of two histories. */
  | { readonly verdict: "fork"; readonly checkpoint: Checkpoint }
  | { readonly verdict: "refused"; readonly reason: string };

/**
 * Never throws: every defect of the delivery is a verdict.
 * @param verifier the device's audit key, from its approved request [AUD-7].
 */
export function decide(deviceId: string, verifier: Verifier, head: Head, delivery: WitnessRequest): WitnessVerdict {
  const opened = open(deviceId, verifier, delivery.checkpoint);
  if ("reason" in opened) return { verdict: "refused", reason: opened.reason };
  const { note, checkpoint } = opened;
  if (checkpoint.size < head.size) return { verdict: "shorter", size: head.size, checkpoint };
  if (checkpoint.size === head.size)
    return same(checkpoint.root, head.root) ? { verdict: "same", note } : { verdict: "fork", checkpoint };
  if (delivery.oldSize !== head.size) return { verdict: "conflict", size: head.size };
  return extend(head, checkpoint, note, delivery);
}

function open(
  deviceId: string,
  verifier: Verifier,
  encoded: string,
): { readonly note: Note; readonly checkpoint: Checkpoint } | { readonly reason: string } {
  try {
    const note = decodeNote(encoded);
    verifyNote(note, verifier);
    const checkpoint = decodeCheckpoint(note.text);
    const origin = checkpointOrigin(deviceId); // [AUD-6]
    return checkpoint.origin === origin
      ? { note, checkpoint }
      : { reason: `the checkpoint is for "${checkpoint.origin}", expected "${origin}"` };
  } catch (error) {
    return { reason: reasonOf(error) };
  }
}

/**
 * [AUD-8] All leaves are available, so continuation is checked in both ways: by the proof, and by
 * hashing the records onto the stored tree.
 */
function extend(head: Head, checkpoint: Checkpoint, note: Note, { proof, records }: WitnessRequest): WitnessVerdict {
  const refuse = (reason: string): WitnessVerdict => ({ verdict: "refused", reason });
  const missing = checkpoint.size - head.size;
  if (records.length !== missing)
    return refuse(
      `size ${head.size} to ${checkpoint.size} needs ${counted(missing, "record")}, but the delivery has ${records.length}`,
    );
  if (records.some(({ byteLength }) => byteLength > AUDIT_RECORD_BYTES_MAX))
    return refuse(`a record has more than ${AUDIT_RECORD_BYTES_MAX} bytes`);
  try {
    verifyConsistency(head.size, head.root, checkpoint.size, checkpoint.root, proof); // [AUD-5]
  } catch (error) {
    return refuse(reasonOf(error));
  }
  const passed: Frontier[] = [];
  const frontier = records.reduce((grown, record) => {
    const next = appendLeaf(grown, leafHash(record));
    if (next.size % AUDIT_FRONTIER_RECORDS === 0) passed.push(next);
    return next;
  }, head.frontier);
  if (!same(frontierRoot(frontier), checkpoint.root)) return refuse("the records do not hash to the checkpoint's root");
  return { verdict: "extends", note, head: { size: checkpoint.size, root: checkpoint.root, frontier }, records, passed };
}

/** A defect of the input is a Fault; anything else is a defect of this program and is thrown. */
function reasonOf(error: unknown): string {
  if (error instanceof Fault && error.code !== "assert.broken") return error.message;
  throw error;
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.from(a).equals(b);
}
