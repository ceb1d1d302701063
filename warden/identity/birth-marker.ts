// That the birth is in the trail too: a mark beside the log, so that a crash between the deed and its record loses neither. [ID-6] [AUD-10]
import type { BirthRecord } from "../../hal/format/identity.ts";
import type { DurableFiles } from "../../hal/ports.ts";
import type { AuditEntry } from "../audit/format/index.ts";

const MARK = "birth-told";
const MARK_BYTES_MAX = 128;

/**
 * Records the birth unless the mark says that it was. Killed in between it is recorded twice, never not at all.
 * @param append resolves when the entry is durable; what it throws is thrown here, and the birth stays to be told.
 */
export async function recordBirth(
  state: DurableFiles,
  { id, source, protection, keyFingerprint }: BirthRecord,
  append: (entry: AuditEntry) => Promise<unknown>,
): Promise<void> {
  const told = await state.get(MARK, MARK_BYTES_MAX);
  if (told !== undefined && Buffer.from(told).toString("latin1") === keyFingerprint) return;
  await append({
    event: "birth.recorded",
    result: "ok",
    principal: "agent",
    detail: { protection, keyFingerprint, id, source },
  });
  await state.put(MARK, Buffer.from(keyFingerprint));
}

/**
 * [ID-6] Whether there was a birth record, whole: one without bytes is damaged then, and no second identity is made. The mark outlives the owner's reset: where the
 * power cuts the record that is made after it, that one has to be removed once more.
 * @throws Fault `file.*`.
 */
export async function isBirthRecorded(state: DurableFiles): Promise<boolean> {
  return (await state.get(MARK, MARK_BYTES_MAX)) !== undefined;
}
