// The writer of the hub's journal, which also tells a listener.
import type { JournalDetail, JournalEntry, JournalEvent, Store } from "./store/index.ts";

/** @param deviceId only a proven id. A claimed one belongs in the detail. */
export type JournalWriter = (event: JournalEvent, deviceId: string | undefined, detail?: JournalDetail) => void;

/** @param onEntry gets each entry after it was written. */
export function journalOf(store: Store, onEntry: (entry: JournalEntry) => void = () => undefined): JournalWriter {
  return (event, deviceId, detail = {}) => onEntry(store.journal.add(event, deviceId, detail, Date.now()));
}
