// A segment of the log: a header frame, then up to 256 record frames. The header binds the segment
// to a device, a key and the tree before it. So segments cannot be exchanged, dropped or reordered,
// and the tree can be verified from any segment on.
import * as v from "valibot";
import { asFault, type Fault } from "../../../hal/fault.ts";
import { canonicalJson, parseCanonicalJson } from "../../../hal/format/json.ts";
import { check } from "../../../hal/format/schema.ts";
import { deviceIdSchema } from "../../../hal/format/identity.ts";
import { SEGMENT_RECORDS } from "./files.ts";
import {
  encodeFrame,
  FRAME_BODY_BYTES_MAX,
  FRAME_HEAD_BYTES,
  type FrameDamage,
  lengthWithoutZeros,
  readFrames,
} from "./frame.ts";
import { type Frontier, frontierRoot, HASH_BYTES } from "./tree.ts";

/** A header and 256 records, each of the largest size. */
export const SEGMENT_BYTES_MAX = (SEGMENT_RECORDS + 1) * (FRAME_HEAD_BYTES + FRAME_BODY_BYTES_MAX);

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const hashSchema = v.pipe(v.string(), v.regex(/^[A-Za-z0-9+/]{43}=$/, `expected base64 of ${HASH_BYTES} bytes`));

export const segmentHeaderSchema = v.strictObject({
  v: v.literal(1),
  epoch: count,
  deviceId: deviceIdSchema,
  /** Note key id of the audit key, in hex. */
  keyId: v.pipe(v.string(), v.regex(/^[0-9a-f]{8}$/, "expected 8 hex digits")),
  segment: count,
  /** Number of the segment's first record, which is the size of the tree before it. */
  first: count,
  /** Root of the tree before it. */
  root: hashSchema,
  /**
   * Roots of the full subtrees before the segment, largest first. With them the tree can be
   * continued without the entries before it.
   */
  subtrees: v.pipe(v.array(hashSchema), v.maxLength(53)),
});
export type SegmentHeader = v.InferOutput<typeof segmentHeaderSchema>;

/** The values that a segment's header must have. */
export interface SegmentPlace {
  readonly epoch: number;
  readonly deviceId: string;
  readonly keyId: string;
  readonly segment: number;
  readonly before: Frontier;
}

export interface SegmentReading {
  readonly header: SegmentHeader | undefined;
  readonly records: readonly Uint8Array[];
  /** Bytes that hold header and records. */
  readonly validBytes: number;
  /** Bytes behind them that a damaged write left. */
  readonly tornBytes: number;
  readonly damage: FrameDamage | undefined;
}

/**
 * The header's bytes in a frame, which begins a write.
 * @throws Fault `schema.invalid` for a malformed device id or key id.
 */
export function encodeSegmentHeader(place: SegmentPlace): Uint8Array {
  const { epoch, deviceId, keyId, segment, before } = place;
  const header = {
    v: 1,
    epoch,
    deviceId,
    keyId,
    segment,
    first: before.size,
    root: base64(frontierRoot(before)),
    subtrees: before.roots.map((root) => base64(root)),
  };
  return encodeFrame(Buffer.from(canonicalJson(check(segmentHeaderSchema, header, "segment header"))), true);
}

/** The tree before the segment, as its header gives it. */
export function headerFrontier(header: SegmentHeader): Frontier {
  return { size: header.first, roots: header.subtrees.map((root) => Buffer.from(root, "base64")) };
}

/**
 * The contents of a segment file. Never throws: damage is a finding, and the segments beside it
 * decide what caused it.
 */
export function readSegment(bytes: Uint8Array): SegmentReading {
  const { bodies, validBytes, tornBytes, damage } = readFrames(bytes);
  const [head, ...records] = bodies;
  if (head === undefined) return { header: undefined, records, validBytes, tornBytes, damage };
  const header = readHeader(head);
  if (!("v" in header)) {
    const broken = { kind: "broken", why: header.message } as const;
    return { header: undefined, records: [], validBytes: 0, tornBytes: lengthWithoutZeros(bytes), damage: broken };
  }
  if (records.length > SEGMENT_RECORDS)
    return {
      header,
      records: records.slice(0, SEGMENT_RECORDS),
      validBytes,
      tornBytes,
      damage: { kind: "broken", why: "it is one record too many" },
    };
  return { header, records, validBytes, tornBytes, damage };
}

function readHeader(body: Uint8Array): SegmentHeader | Fault {
  try {
    return check(segmentHeaderSchema, parseCanonicalJson(body, FRAME_BODY_BYTES_MAX, "segment header"), "segment header");
  } catch (error) {
    return asFault(error, "schema.invalid", "read a segment header");
  }
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}
