// Reading an epoch of the log back, whole, and judging it. Changes nothing. [AUD-10]
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
import { followSegments } from "./follow.ts";
import type { AuditSigner } from "./key.ts";
import { loadCheckpoints, type StoredCheckpoints } from "./checkpoints.ts";

export type Inspection =
  | { readonly verdict: "sound"; readonly epoch: SoundEpoch }
  | { readonly verdict: "tampered"; readonly finding: AuditFinding; readonly witnessed: number }
  /** The device got another id before any hub knew it: the log is of a former name, not a forged one. */
  | { readonly verdict: "renamed"; readonly formerId: string; readonly size: number };

export interface InspectOptions {
  readonly files: AppendFiles;
  readonly state: DurableFiles;
  readonly deviceId: string;
  readonly epoch: number;
  /** Undefined: lost. */
  readonly signer: AuditSigner | undefined;
}

/** @throws Fault of the ports for what is not about the log's own files. */
export async function inspectEpoch(options: InspectOptions): Promise<Inspection> {
  const { files, epoch, deviceId, signer } = options;
  const listing = listEpoch(await files.list(), epoch);
  const former = await formerDevice(options, listing);
  if (former !== undefined) return former;
  if (signer === undefined)
    return tampered(allOf(epoch, listing, "key", "the audit key that signed it is missing or unreadable"), 0);
  const stored = await ownCheckpoints(options, signer);
  if (typeof stored === "string") return tampered(allOf(epoch, listing, "key", stored), 0);
  const witnessed = stored.witnessed?.size ?? 0;
  const keyId = Buffer.from(signer.verifier.id).toString("hex");
  const followed = await findingOf(epoch, listing, () => followSegments(files, { epoch, deviceId, keyId }, listing, stored));
  return "finding" in followed
    ? tampered(followed.finding, witnessed)
    : { verdict: "sound", epoch: { ...followed, checkpoints: stored } };
}

function tampered(finding: AuditFinding, witnessed: number): Inspection {
  return { verdict: "tampered", finding, witnessed };
}

/** A finding that is about the whole log. */
function allOf(epoch: number, listing: EpochListing, part: AuditFinding["part"], why: string): AuditFinding {
  const until = ((listing.segments.at(-1) ?? 0) + 1) * SEGMENT_RECORDS;
  return { epoch, segment: listing.segments[0] ?? 0, part, entry: 0, until, why };
}

async function formerDevice(options: InspectOptions, listing: EpochListing): Promise<Inspection | undefined> {
  const { files, state, epoch, deviceId } = options;
  if (listing.segments[0] !== 0) return undefined;
  const read = (): Promise<Uint8Array | undefined> => files.read(segmentName(epoch, 0), SEGMENT_BYTES_MAX);
  const bytes = await read().catch((error: unknown) => {
    if (isUnreadable(error)) return undefined; // followSegments meets it again, and makes it a finding
    throw error;
  });
  const formerId = readSegment(bytes ?? new Uint8Array()).header?.deviceId;
  if (formerId === undefined || formerId === deviceId) return undefined;
  if ((await state.get(witnessedName(epoch), NOTE_BYTES_MAX)) !== undefined) return undefined;
  return { verdict: "renamed", formerId, size: (listing.segments.at(-1) ?? 0) * SEGMENT_RECORDS };
}

/** @returns why they are not this log's, as a text. */
async function ownCheckpoints(options: InspectOptions, signer: AuditSigner): Promise<StoredCheckpoints | string> {
  try {
    return await loadCheckpoints(options.state, options.epoch, signer.verifier);
  } catch (error) {
    if (error instanceof Fault && error.code.startsWith("note."))
      return `a stored checkpoint is not this log's: ${error.message}`;
    throw error;
  }
}

/** Files that can't be read as they should are findings: that a segment is unreadable must not end all logging. */
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
    return { finding: allOf(epoch, listing, "tree", fault.message) };
  }
}
