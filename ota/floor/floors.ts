// The floors on disk. [OTA-36]
import type { DurableFiles } from "../../hal/ports.ts";
import { FLOORS_BYTES_MAX } from "./limits.ts";
import { withCommit, decodeFloors, encodeFloors, type FloorCommit, type FloorRecord, NO_FLOORS } from "./record.ts";

const NAME = "floors.json";

export interface Floors {
  record(): FloorRecord;
  /**
   * [OTA-36] Durable when it resolves. The same commit may be repeated and then changes nothing.
   * @throws Fault `floor.below`; `file.*` as for state files.
   */
  commit(commit: FloorCommit): Promise<FloorRecord>;
}

/**
 * @throws Fault `floor.invalid` when the record exists and cannot be read. Nothing may be installed
 *   then until an owner resets it.
 */
export async function openFloors(files: DurableFiles): Promise<Floors> {
  const bytes = await files.get(NAME, FLOORS_BYTES_MAX);
  let record = bytes === undefined ? NO_FLOORS : decodeFloors(bytes);
  return {
    record: () => record,
    commit: async (commit) => {
      const after = withCommit(record, commit);
      if (after !== record) await files.put(NAME, encodeFloors(after));
      record = after;
      return after;
    },
  };
}
