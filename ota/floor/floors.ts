// The floors on disk. [OTA-36]
import type { DurableFiles } from "../../hal/ports.ts";
import { readRecord, writeRecord } from "../../hal/record.ts";
import { withCommit, type FloorCommit, type FloorRecord, FLOORS, NO_FLOORS } from "./record.ts";

/** The name of the record in the directory of the updates. */
export const FLOORS_FILE = "floors.json";

export interface Floors {
  record(): FloorRecord;
  /**
   * [OTA-36] Durable when it resolves. The same commit may be repeated and then changes nothing.
   * @throws Fault `floor.below`; `file.*` as for state files.
   */
  commit(commit: FloorCommit): Promise<FloorRecord>;
}

/**
 * @throws Fault `floor.invalid`, `record.newer` when the record exists and cannot be read. Nothing
 *   may be installed then: an unread floor never means no floor.
 */
export async function openFloors(files: DurableFiles): Promise<Floors> {
  let record = (await readRecord(files, FLOORS_FILE, FLOORS)) ?? NO_FLOORS;
  return {
    record: () => record,
    commit: async (commit) => {
      const after = withCommit(record, commit);
      if (after !== record) await writeRecord(files, FLOORS_FILE, FLOORS, after);
      record = after;
      return after;
    },
  };
}
