// Writing the hub's journal, and telling whoever listens.
import type { JournalDetail, JournalEntry, JournalEvent, Store } from "./store/index.ts";

/** @param deviceId only when it is proven; a claim belongs into the detail. */
export type JournalWriter = (event: JournalEvent, deviceId: string | undefined, detail?: JournalDetail) => void;

export function journalOf(store: Store, told: (entry: JournalEntry) => void = () => undefined): JournalWriter {
  return (event, deviceId, detail = {}) => told(store.journal.add(event, deviceId, detail, Date.now()));
}
