// The verification of one stored log for auditors, from its records up to the cosigned checkpoint.
import { Fault } from "../../hal/fault.ts";
import type { DeviceId } from "../../hal/format/identity.ts";
import {
  appendLeaf,
  checkpointOrigin,
  decodeAuditRecord,
  decodeCheckpoint,
  decodeNote,
  decodeVerifier,
  EMPTY_FRONTIER,
  type Frontier,
  frontierRoot,
  leafHash,
  type Verifier,
  verifyNote,
} from "../../warden/audit/format/index.ts";
import type { WitnessedLog, AuditStore, StoredRecord } from "../store/index.ts";

export interface Verification {
  readonly ok: boolean;
  /** How many records were checked. */
  readonly size: number;
  /**
   * Number of the first record that is not as witnessed; undefined when all records are, or when
   * the bad one cannot be named.
   */
  readonly firstBad: number | undefined;
  /** Empty when everything is as witnessed. */
  readonly faults: readonly string[];
  /** When the hub cosigned, Unix milliseconds. */
  readonly cosignedAtMs: number | undefined;
}

const RECORDS_PER_READ = 1024;

/**
 * @param witness the hub's public key: its cosignature reveals a store that was replaced as a
 *   whole.
 */
export async function verifyLog(
  audit: AuditStore,
  deviceId: DeviceId,
  log: WitnessedLog,
  witness: Verifier,
): Promise<Verification> {
  const records = await verifyRecords(audit, deviceId, log);
  const faults = [...records.faults];
  const cosignedAtMs = verifyHead(deviceId, log, records.frontier, witness, faults);
  return { ok: faults.length === 0, size: records.frontier.size, firstBad: records.firstBad, faults, cosignedAtMs };
}

async function verifyRecords(
  audit: AuditStore,
  deviceId: DeviceId,
  log: WitnessedLog,
): Promise<{ readonly frontier: Frontier; readonly firstBad: number | undefined; readonly faults: readonly string[] }> {
  let frontier: Frontier = EMPTY_FRONTIER;
  for (let from = 0; from < log.size; from += RECORDS_PER_READ) {
    const count = Math.min(RECORDS_PER_READ, log.size - from);
    const records = await audit.records(deviceId, log.auditKey, from, count);
    for (let seq = from; seq < from + count; seq++) {
      const record = records[seq - from];
      const wrong = defectOf(record, seq);
      if (record === undefined || wrong !== undefined)
        return { frontier, firstBad: seq, faults: [`record ${seq}: ${wrong ?? "it is missing"}`] };
      frontier = appendLeaf(frontier, record.leaf);
    }
  }
  return { frontier, firstBad: undefined, faults: [] };
}

/** @returns why this record is not number `seq` as witnessed, or undefined. */
function defectOf(record: StoredRecord | undefined, seq: number): string | undefined {
  if (record === undefined || record.seq !== seq) return "it is missing";
  if (!Buffer.from(leafHash(record.bytes)).equals(record.leaf)) return "its bytes are not the witnessed ones";
  try {
    const number = decodeAuditRecord(record.bytes).seq;
    return number === seq ? undefined : `its own number is ${number}`;
  } catch (error) {
    // A device that is newer than this hub may report events that the hub's catalogue lacks. The
    // bytes are witnessed all the same.
    if (error instanceof Fault && error.code === "schema.invalid") return undefined;
    if (error instanceof Fault) return error.message;
    throw error;
  }
}

function verifyHead(
  deviceId: DeviceId,
  log: WitnessedLog,
  frontier: Frontier,
  witness: Verifier,
  faults: string[],
): number | undefined {
  const complete = frontier.size === log.size;
  if (complete && !same(frontierRoot(frontier), log.root))
    faults.push(`the records hash to another root; ${damagedRange(log, frontier)}`);
  try {
    const note = decodeNote(log.cosigned);
    verifyNote(note, decodeVerifier(log.auditKey));
    const unixSeconds = verifyNote(note, witness);
    const checkpoint = decodeCheckpoint(note.text);
    if (checkpoint.origin !== checkpointOrigin(deviceId) || checkpoint.size !== log.size || !same(checkpoint.root, log.root))
      faults.push("the stored head differs from the cosigned checkpoint");
    return unixSeconds === undefined ? undefined : unixSeconds * 1000;
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    faults.push(`cosigned checkpoint: ${error.message}`);
    return undefined;
  }
}

/** The frontier has the roots of full subtrees. The first that differs locates the damage. */
function damagedRange(log: WitnessedLog, frontier: Frontier): string {
  let start = 0;
  let left = log.size;
  for (const [index, root] of frontier.roots.entries()) {
    let width = 1;
    while (width * 2 <= left) width *= 2;
    const stored = log.frontier.roots[index];
    if (stored === undefined || !same(stored, root)) return `the first change is in records ${start} to ${start + width - 1}`;
    start += width;
    left -= width;
  }
  return "every subtree is as witnessed, so the stored root itself was changed";
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.from(a).equals(b);
}
