// Verified reading of records: each record is checked against its stored hash, so that what is
// returned is what was written.
import { Fault } from "../../hal/fault.ts";
import type { AppendFiles } from "../../hal/ports.ts";
import { leafHash, readSegment, SEGMENT_BYTES_MAX, SEGMENT_RECORDS, segmentName } from "./format/index.ts";
import { READ_RECORDS_MAX } from "./limits.ts";
import { type LogState, unstoredOf } from "./state.ts";
import { createTileReader } from "./tiles.ts";

/** A record that is not the one that was written. */
export interface ReadFinding {
  readonly entry: number;
  readonly fault: Fault;
}

/**
 * Encoded records from `from` on, at most `count` and {@link READ_RECORDS_MAX}; none beyond the
 * end.
 * @returns a finding where the file and the stored hash differ.
 * @throws Fault `audit.removed` for records that were removed after the hub had witnessed them;
 *   those of {@link AppendFiles.read}.
 */
export async function readRecords(
  files: AppendFiles,
  log: LogState,
  from: number,
  count: number,
): Promise<readonly Uint8Array[] | ReadFinding> {
  const end = Math.min(from + Math.min(count, READ_RECORDS_MAX), log.tree.size);
  const records: Uint8Array[] = [];
  const tiles = createTileReader(files, log.epoch, unstoredOf(log));
  for (let entry = from; entry < end;) {
    const segment = Math.floor(entry / SEGMENT_RECORDS);
    if (!log.segments.has(segment)) throw removed(log, entry);
    const { records: there } = readSegment(
      (await files.read(segmentName(log.epoch, segment), SEGMENT_BYTES_MAX)) ?? new Uint8Array(),
    );
    const hashes = await tiles.leavesOf(segment);
    for (; entry < end && Math.floor(entry / SEGMENT_RECORDS) === segment; entry++) {
      const record = there[entry % SEGMENT_RECORDS];
      const hash = hashes[entry % SEGMENT_RECORDS];
      if (record === undefined) return damaged(log, segment * SEGMENT_RECORDS + there.length, "is damaged or missing");
      if (hash === undefined || Buffer.compare(leafHash(record), hash) !== 0)
        return damaged(log, entry, "is not what was written");
      records.push(record);
    }
  }
  return records;
}

function damaged(log: LogState, entry: number, how: string): ReadFinding {
  const name = segmentName(log.epoch, Math.floor(entry / SEGMENT_RECORDS));
  return { entry, fault: new Fault("audit.tampered", `read the audit log: entry ${entry} ("${name}") ${how}`) };
}

function removed(log: LogState, entry: number): Fault {
  const first = Math.min(...log.segments.keys()) * SEGMENT_RECORDS;
  return new Fault(
    "audit.removed",
    `read entry ${entry} of the audit log: it was removed after the hub had witnessed it; the log starts at ${first}`,
  );
}
