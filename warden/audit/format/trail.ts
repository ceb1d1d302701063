// Offline verification of a log's files, as an auditor or `sallyport audit verify` does it: with
// public keys only, and without trust in the machine. Pure.
import { Fault } from "../../../hal/fault.ts";
import { parseAuditFile, SEGMENT_RECORDS, segmentName, tileName } from "./files.ts";
import { type Checkpoint, decodeCheckpoint, decodeNote, type Verifier, verifyNote } from "./note.ts";
import { HASH_BYTES } from "./tree.ts";
import { type AuditFinding, describeFinding, endWalk, startWalk, type Walk, walkSegment } from "./walk.ts";

/**
 * The files of a log's directory. They are read one at a time, so that a log of any length needs
 * the memory of one segment only.
 */
export interface TrailFiles {
  readonly names: readonly string[];
  read(name: string): Uint8Array | undefined;
}

export interface TrailQuestion {
  readonly files: TrailFiles;
  /**
   * The device's audit key. It must come from the certificate request or the hub, not from the
   * device under examination.
   */
  readonly auditKey: Verifier;
  /** Signed checkpoints that the log must contain, such as the last one that the hub cosigned. */
  readonly checkpoints: readonly string[];
  /** When given, every checkpoint must also carry the cosignature of this witness. */
  readonly witness?: Verifier;
  /** The last epoch when omitted. */
  readonly epoch?: number;
}

export interface TrailReport {
  readonly epoch: number;
  /**
   * Number of the first entry that still exists. Earlier entries were removed after the hub had
   * witnessed them.
   */
  readonly first: number;
  /** Entries in the tree. */
  readonly size: number;
  /**
   * A checkpoint covers every entry below this. Later entries rest on CRCs and stored hashes alone.
   */
  readonly vouched: number;
  /** Bytes of an unfinished write at the end. By themselves they are not a sign of tampering. */
  readonly tornBytes: number;
  /** The first thing that is wrong. */
  readonly finding: AuditFinding | undefined;
}

/**
 * Reads the whole log and names the first bad entry, if there is one.
 * @throws Fault `note.invalid`, `note.bad-signature` for a checkpoint that is not of this log,
 *   which proves nothing about the log.
 */
export function verifyTrail(question: TrailQuestion): TrailReport {
  const { files, auditKey } = question;
  const checkpoints = question.checkpoints.map((note) => openCheckpoint(note, auditKey, question.witness));
  const segments = listSegments(files.names);
  const epoch = question.epoch ?? segments.at(-1)?.epoch ?? 0;
  const numbers = segments.filter((file) => file.epoch === epoch).map((file) => file.number);
  const identity = { epoch, deviceId: auditKey.name.split("/").at(-1) ?? "", keyId: Buffer.from(auditKey.id).toString("hex") };
  const first = (numbers[0] ?? 0) * SEGMENT_RECORDS;
  let walk: Walk = startWalk(identity, checkpoints, undefined);
  let tornBytes = 0;
  for (const number of numbers) {
    const bytes = files.read(segmentName(epoch, number)) ?? new Uint8Array();
    const tile = files.read(tileName(epoch, 0, number));
    const last = number === numbers.at(-1);
    const step = walkSegment(walk, { number, bytes, tile, last, decode: true });
    if ("finding" in step) return report(epoch, first, walk, tornBytes, step.finding);
    walk = step.walk;
    tornBytes = step.tornBytes;
  }
  const older = first > 0 && !checkpoints.some((checkpoint) => checkpoint.size >= first);
  const removed = older ? unwitnessed(epoch, first) : undefined;
  return report(epoch, first, walk, tornBytes, removed ?? endWalk(walk, tornBytes));
}

/** One line for a person. */
export function describeTrail(trail: TrailReport): string {
  if (trail.finding !== undefined) return describeFinding(trail.finding);
  const range = trail.size === trail.first ? "no entries" : `entries ${trail.first} to ${trail.size - 1}`;
  const torn = trail.tornBytes > 0 ? `, and ${trail.tornBytes} bytes of an unfinished write` : "";
  return `audit log sound: ${range}${torn}; ${trail.vouched} of ${trail.size} vouched for by signed checkpoints`;
}

function openCheckpoint(encoded: string, auditKey: Verifier, witness: Verifier | undefined): Checkpoint {
  const note = decodeNote(encoded);
  verifyNote(note, auditKey);
  if (witness !== undefined) verifyNote(note, witness);
  const checkpoint = decodeCheckpoint(note.text);
  if (checkpoint.origin !== auditKey.name)
    throw new Fault("note.invalid", `checkpoint of "${checkpoint.origin}": expected one of "${auditKey.name}"`);
  return checkpoint;
}

function listSegments(names: readonly string[]): readonly { readonly epoch: number; readonly number: number }[] {
  const segments: { readonly epoch: number; readonly number: number }[] = [];
  for (const name of names) {
    const file = parseAuditFile(name);
    if (file?.kind === "segment") segments.push(file);
  }
  return segments.sort((a, b) => a.epoch - b.epoch || a.number - b.number);
}

/**
 * Only what the hub has seen is ever removed: without a checkpoint that covers the entries,
 * somebody else removed them. [AUD-11]
 */
function unwitnessed(epoch: number, first: number): AuditFinding {
  const why = "the entries before the first segment are missing, and no checkpoint shows that the hub has them";
  return { epoch, segment: 0, part: "missing", entry: 0, until: first, why };
}

function report(epoch: number, first: number, walk: Walk, tornBytes: number, finding: AuditFinding | undefined): TrailReport {
  return { epoch, first, size: walk.tree?.size ?? 0, vouched: walk.vouched, tornBytes, finding };
}

/** The hashes of a tile, as views. */
export function tileHashes(tile: Uint8Array): readonly Uint8Array[] {
  return Array.from({ length: Math.floor(tile.byteLength / HASH_BYTES) }, (_, i) =>
    tile.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES),
  );
}
