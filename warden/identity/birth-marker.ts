// The birth markers: files that say that the audit trail has the record of the birth, and of each
// upgrade of the key. A crash between writing the birth record and recording it in the trail loses
// neither. [ID-6] [ID-67] [AUD-10]
import { Fault } from "../../hal/fault.ts";
import { type BirthRecord, fingerprintSchema } from "../../hal/format/identity.ts";
import { tryCheck } from "../../hal/format/schema.ts";
import type { DurableFiles } from "../../hal/ports.ts";
import type { AuditEntry } from "../audit/format/index.ts";
import { upgradedRecordFile } from "./birth.ts";

const MARKER = "birth-told";
const MARKER_BYTES_MAX = 128;

/** Of `birth.json` and `birth-tpm.json`: `birth-told` and `birth-tpm-told`. */
function markerOf(recordFile: string): string {
  return recordFile === "birth.json" ? MARKER : recordFile.replace(/\.json$/u, "-told");
}

/**
 * Records the birth, or the upgrade of the key, in the trail unless the marker says that this was
 * done. A crash in between leads to two records, never to none.
 * @param append resolves when the entry is durable. If it throws, the fault is thrown here, and the
 *   next call tries again.
 * @param told fingerprints whose births this process has recorded. Where the marker cannot be
 *   written, an agent that asks again and again adds no second record. [AUD-12]
 */
export async function recordBirth(
  state: DurableFiles,
  { id, source, protection, keyFingerprint, previous }: BirthRecord,
  append: (entry: AuditEntry) => Promise<unknown>,
  told: Set<string> = new Set(),
): Promise<void> {
  const name = markerOf(previous === undefined ? "birth.json" : upgradedRecordFile(protection));
  const marker = await state.get(name, MARKER_BYTES_MAX);
  const recorded = marker === undefined ? undefined : Buffer.from(marker).toString("latin1");
  if (recorded === keyFingerprint) return;
  // the marker of an identity before the owner's reset is no damage
  if (recorded !== undefined && tryCheck(fingerprintSchema, recorded) === undefined)
    state.noteDamage?.(new Fault("schema.invalid", `the marker "${name}" is damaged: the birth is recorded once more`));
  const entry = { result: "ok", principal: "agent", detail: { protection, keyFingerprint, id, source } } as const;
  if (!told.has(keyFingerprint))
    await append(
      previous === undefined
        ? { event: "birth.recorded", ...entry }
        : { event: "birth.replaced", ...entry, detail: { ...entry.detail, previous } },
    );
  told.add(keyFingerprint);
  await state.put(name, Buffer.from(keyFingerprint));
}

/**
 * [ID-20] Whether the birth record in the file `name` existed once, complete. Then an empty record
 * file counts as damaged, and no second identity is made. The wipe of a reset removes the marker
 * too [ID-59]. Where somebody removed that record alone, by hand, and the power fails while the new
 * one is written, the file has to be removed once more.
 * @throws Fault `file.*`.
 */
export async function isBirthRecorded(state: DurableFiles, name: string): Promise<boolean> {
  return (await state.get(markerOf(name), MARKER_BYTES_MAX)) !== undefined;
}
