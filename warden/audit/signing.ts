// Checkpoints of the open log: signed with a proof, taken back with the hub's cosignature, and
// stored at the close.
import { Fault, takesNothing } from "../../hal/fault.ts";
import type { AppendFiles, DurableFiles } from "../../hal/ports.ts";
import { openCheckpoint, saveClosed, saveWitnessed, signCheckpoint } from "./checkpoints.ts";
import { frontierRoot, type Verifier, verifyConsistency } from "./format/index.ts";
import { type LogState, unstoredOf } from "./state.ts";
import { createTileReader } from "./tiles.ts";

export interface AuditCheckpoint {
  readonly size: number;
  /** Signed note. [AUD-6] */
  readonly checkpoint: string;
  /** Proves that this tree continues the one of the size asked about. [AUD-5] */
  readonly proof: readonly Uint8Array[];
}

/**
 * Signs a checkpoint of `size` (default: the whole log) with a proof that it continues the tree of
 * `oldSize`.
 * @returns a Fault `audit.tampered` when the stored hashes do not prove the tree in memory:
 *   somebody changed them.
 * @throws Fault `proof.invalid` for sizes that the log does not have; `audit.removed` for a size
 *   that is too old.
 */
export async function makeCheckpoint(
  files: AppendFiles,
  log: LogState,
  oldSize: number,
  size = log.tree.size,
): Promise<AuditCheckpoint | Fault> {
  if (![oldSize, size].every((one) => Number.isSafeInteger(one)) || oldSize < 0 || oldSize > size || size > log.tree.size)
    throw new Fault("proof.invalid", `prove that size ${size} continues size ${oldSize}: the log has ${log.tree.size} entries`);
  const tiles = createTileReader(files, log.epoch, unstoredOf(log));
  try {
    const root = await tiles.rootAt(size);
    const proof = await tiles.proof(oldSize, size);
    const rest = await tiles.proof(size, log.tree.size);
    verifyConsistency(oldSize, await tiles.rootAt(oldSize), size, root, proof);
    verifyConsistency(size, root, log.tree.size, frontierRoot(log.tree), rest);
    return { size, checkpoint: signCheckpoint(log.signer, size, root), proof };
  } catch (error) {
    if (!(error instanceof Fault) || (error.code !== "proof.invalid" && error.code !== "audit.tampered")) throw error;
    return new Fault(
      "audit.tampered",
      `sign a checkpoint of size ${size}: the stored hashes do not fit the tree: ${error.message}`,
      { cause: error },
    );
  }
}

/**
 * [AUD-8] Stores the cosigned checkpoint `note` as the witnessed one. A checkpoint that is older
 * than the stored one changes nothing.
 * @throws Fault `note.invalid`, `note.bad-signature`; `witness.conflict` when it is not of our
 *   tree.
 */
export async function storeCosigned(
  files: AppendFiles,
  state: DurableFiles,
  log: LogState,
  witness: Verifier | undefined,
  note: string,
): Promise<void> {
  if (witness === undefined)
    throw new Fault("note.bad-signature", "take a cosigned checkpoint: no witness key is configured, so none can be checked");
  const { size, root } = openCheckpoint(note, log.signer.verifier, witness);
  const ours = size > log.tree.size ? undefined : await createTileReader(files, log.epoch, unstoredOf(log)).rootAt(size);
  if (ours === undefined || Buffer.compare(ours, root) !== 0)
    throw new Fault(
      "witness.conflict",
      `take a cosigned checkpoint of size ${size}: it is not of our tree of ${log.tree.size} entries`,
    );
  if (size <= log.witnessed) return;
  await saveWitnessed(state, log.epoch, note);
  log.witnessed = size;
}

/**
 * Signs and stores the size at an orderly close. A full disk costs only the extra check at the next
 * start.
 */
export async function storeClosingCheckpoint(state: DurableFiles, log: LogState): Promise<void> {
  const { size } = log.tree;
  if (size === log.closedAt) return;
  try {
    await saveClosed(state, log.epoch, signCheckpoint(log.signer, size, frontierRoot(log.tree)));
  } catch (error) {
    if (!takesNothing(error)) throw error;
    return;
  }
  log.closedAt = size;
}
