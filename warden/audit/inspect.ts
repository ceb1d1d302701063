// Inspection of a whole epoch of the log. It changes nothing. [AUD-22]
import { asFault, Fault, type FaultCode } from "../../hal/fault.ts";
import type { AppendFiles, DurableFiles } from "../../hal/ports.ts";
import {
  type AuditFinding,
  NOTE_BYTES_MAX,
  readSegment,
  SEGMENT_BYTES_MAX,
  SEGMENT_RECORDS,
  segmentName,
  witnessedName,
} from "./format/index.ts";
import { type EpochListing, listEpoch, type SoundEpoch } from "./epoch.ts";
import { verifySegments } from "./verify-segments.ts";
import type { AuditSigner } from "./key.ts";
import { loadCheckpoints, type StoredCheckpoints } from "./checkpoints.ts";

export type Inspection =
  | { readonly verdict: "sound"; readonly epoch: SoundEpoch }
  | { readonly verdict: "tampered"; readonly finding: AuditFinding; readonly witnessed: number }
  /**
   * The device got another id before any hub knew it: the log has the former name, and is not
   * forged.
   */
  | { readonly verdict: "renamed"; readonly formerId: string; readonly size: number };

export interface InspectOptions {
  readonly files: AppendFiles;
  readonly state: DurableFiles;
  readonly deviceId: string;
  readonly epoch: number;
  /** Undefined when the key is lost. */
  readonly signer: AuditSigner | undefined;
}

/** @throws Fault of the ports for anything but the log's own files. */
export async function inspectEpoch(options: InspectOptions): Promise<Inspection> {
  const { files, epoch, deviceId, signer } = options;
  const listing = listEpoch(await files.list(), epoch);
  const former = await formerDevice(options, listing);
  if (former !== undefined) return former;
  if (signer === undefined)
    return tampered(wholeLogFinding(epoch, listing, "key", "the audit key that signed it is missing or unreadable"), 0);
  const stored = await ownCheckpoints(options, signer);
  if (typeof stored === "string") return tampered(wholeLogFinding(epoch, listing, "key", stored), 0);
  const witnessed = stored.witnessed?.size ?? 0;
  const keyId = Buffer.from(signer.verifier.id).toString("hex");
  const followed = await findingOf(epoch, listing, () => verifySegments(files, { epoch, deviceId, keyId }, listing, stored));
  return "finding" in followed
    ? tampered(followed.finding, witnessed)
    : { verdict: "sound", epoch: { ...followed, checkpoints: stored } };
}

function tampered(finding: AuditFinding, witnessed: number): Inspection {
  return { verdict: "tampered", finding, witnessed };
}

/** A finding about the whole log. */
function wholeLogFinding(epoch: number, listing: EpochListing, part: AuditFinding["part"], why: string): AuditFinding {
  const until = ((listing.segments.at(-1) ?? 0) + 1) * SEGMENT_RECORDS;
  return { epoch, segment: listing.segments[0] ?? 0, part, entry: 0, until, why };
}

async function formerDevice(options: InspectOptions, listing: EpochListing): Promise<Inspection | undefined> {
  const { files, state, epoch, deviceId } = options;
  if (listing.segments[0] !== 0) return undefined;
  const read = (): Promise<Uint8Array | undefined> => files.read(segmentName(epoch, 0), SEGMENT_BYTES_MAX);
  const bytes = await read().catch((error: unknown) => {
    // verifySegments reads the file again and reports a finding
    if (isUnreadable(error)) return undefined;
    throw error;
  });
  const formerId = readSegment(bytes ?? new Uint8Array()).header?.deviceId;
  if (formerId === undefined || formerId === deviceId) return undefined;
  if ((await state.get(witnessedName(epoch), NOTE_BYTES_MAX)) !== undefined) return undefined;
  return { verdict: "renamed", formerId, size: (listing.segments.at(-1) ?? 0) * SEGMENT_RECORDS };
}

/** @returns a text that says why the checkpoints are not those of this log. */
async function ownCheckpoints(options: InspectOptions, signer: AuditSigner): Promise<StoredCheckpoints | string> {
  try {
    return await loadCheckpoints(options.state, options.epoch, signer.verifier);
  } catch (error) {
    if (error instanceof Fault && error.code.startsWith("note."))
      return `a stored checkpoint is not this log's: ${error.message}`;
    throw error;
  }
}

/**
 * Files that cannot be read as expected are findings: one unreadable segment must not end all
 * logging.
 */
const UNREADABLE: readonly FaultCode[] = ["file.too-large", "file.untrusted-owner", "file.not-regular", "file.read-failed"];

function isUnreadable(error: unknown): boolean {
  return error instanceof Fault && UNREADABLE.includes(error.code);
}

async function findingOf<T>(
  epoch: number,
  listing: EpochListing,
  work: () => Promise<T>,
): Promise<T | { readonly finding: AuditFinding }> {
  try {
    return await work();
  } catch (error) {
    const fault = asFault(error, "assert.broken", "read the audit log");
    if (!isUnreadable(fault) && fault.code !== "audit.tampered") throw fault;
    return { finding: wholeLogFinding(epoch, listing, "tree", fault.message) };
  }
}
