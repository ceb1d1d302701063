// The birth marker: a file that says that the audit trail has the record of the birth. A crash
// between writing the birth record and recording it in the trail loses neither. [ID-6] [AUD-10]
import type { BirthRecord } from "../../hal/format/identity.ts";
import type { DurableFiles } from "../../hal/ports.ts";
import type { AuditEntry } from "../audit/format/index.ts";

const MARKER = "birth-told";
const MARKER_BYTES_MAX = 128;

/**
 * Records the birth in the trail unless the marker says that this was done. A crash in between
 * leads to two records, never to none.
 * @param append resolves when the entry is durable. If it throws, the fault is thrown here, and the
 *   next call tries again.
 */
export async function recordBirth(
  state: DurableFiles,
  { id, source, protection, keyFingerprint }: BirthRecord,
  append: (entry: AuditEntry) => Promise<unknown>,
): Promise<void> {
  const recorded = await state.get(MARKER, MARKER_BYTES_MAX);
  if (recorded !== undefined && Buffer.from(recorded).toString("latin1") === keyFingerprint) return;
  await append({
    event: "birth.recorded",
    result: "ok",
    principal: "agent",
    detail: { protection, keyFingerprint, id, source },
  });
  await state.put(MARKER, Buffer.from(keyFingerprint));
}

/**
 * [ID-20] Whether a complete birth record existed once. Then an empty record file counts as
 * damaged, and no second identity is made. The marker survives the owner's reset: if the power
 * fails while the new birth record is written, the owner has to remove that file once more.
 * @throws Fault `file.*`.
 */
export async function isBirthRecorded(state: DurableFiles): Promise<boolean> {
  return (await state.get(MARKER, MARKER_BYTES_MAX)) !== undefined;
}
