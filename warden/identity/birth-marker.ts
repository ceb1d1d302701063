// The birth marker: a file that says that the audit trail has the record of the birth. A crash
// between writing the birth record and recording it in the trail loses neither. [ID-6] [AUD-10]
import { Fault } from "../../hal/fault.ts";
import { type BirthRecord, fingerprintSchema } from "../../hal/format/identity.ts";
import { tryCheck } from "../../hal/format/schema.ts";
import type { DurableFiles } from "../../hal/ports.ts";
import type { AuditEntry } from "../audit/format/index.ts";

const MARKER = "birth-told";
const MARKER_BYTES_MAX = 128;

/**
 * Records the birth in the trail unless the marker says that this was done. A crash in between
 * leads to two records, never to none.
 * @param append resolves when the entry is durable. If it throws, the fault is thrown here, and the
 *   next call tries again.
 * @param told fingerprints whose births this process has recorded. Where the marker cannot be
 *   written, an agent that asks again and again adds no second record. [AUD-12]
 */
export async function recordBirth(
  state: DurableFiles,
  { id, source, protection, keyFingerprint }: BirthRecord,
  append: (entry: AuditEntry) => Promise<unknown>,
  told: Set<string> = new Set(),
): Promise<void> {
  const marker = await state.get(MARKER, MARKER_BYTES_MAX);
  const recorded = marker === undefined ? undefined : Buffer.from(marker).toString("latin1");
  if (recorded === keyFingerprint) return;
  // the marker of an identity before the owner's reset is no damage
  if (recorded !== undefined && tryCheck(fingerprintSchema, recorded) === undefined)
    state.noteDamage?.(new Fault("schema.invalid", `the marker "${MARKER}" is damaged: the birth is recorded once more`));
  if (!told.has(keyFingerprint))
    await append({
      event: "birth.recorded",
      result: "ok",
      principal: "agent",
      detail: { protection, keyFingerprint, id, source },
    });
  told.add(keyFingerprint);
  await state.put(MARKER, Buffer.from(keyFingerprint));
}

/**
 * [ID-20] Whether a complete birth record existed once. Then an empty record file counts as
 * damaged, and no second identity is made. The wipe of a reset removes the marker too [ID-59].
 * Where somebody removed the birth record alone, by hand, and the power fails while the new one is
 * written, that file has to be removed once more.
 * @throws Fault `file.*`.
 */
export async function isBirthRecorded(state: DurableFiles): Promise<boolean> {
  return (await state.get(MARKER, MARKER_BYTES_MAX)) !== undefined;
}
