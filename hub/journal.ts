// The writer of the hub's journal.
import type { JournalDetail, JournalEvent, Store } from "./store/index.ts";

/** @param deviceId only a proven id. A claimed one belongs in the detail. */
export type JournalWriter = (event: JournalEvent, deviceId: string | undefined, detail?: JournalDetail) => void;

/** @returns a writer that counts in memory; the entries are written at intervals. */
export function createJournalWriter(store: Store): JournalWriter {
  return (event, deviceId, detail = {}) => store.journal.note(event, deviceId, detail, Date.now());
}
