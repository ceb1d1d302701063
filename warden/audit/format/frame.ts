// The frames of a segment file: u32 length, u32 CRC-32 (zlib's) of length and body, both
// big-endian, then the body. Pure. The CRC finds accidents and careless edits; the tree finds
// careful edits.
//
// The highest bit of the length marks the first frame of a write, and a write begins only when the
// previous one is durable. So a damaged frame that is followed by the beginning of a write was once
// complete: somebody damaged it. Without one it belongs to the last write, of which a power cut may
// leave any part, in any order. [AUD-20]
//
// Zeros may follow the last frame: room that later frames overwrite. So the frames end where only
// zeros follow, not where the file ends. Who overwrites frames with zeros up to the end does what
// cutting the file does, and is found in the same way: by a checkpoint. [AUD-45]
import { crc32 } from "node:zlib";
import { assert } from "../../../hal/fault.ts";
import { AUDIT_RECORD_BYTES_MAX } from "./record.ts";

export const FRAME_HEAD_BYTES = 8;
export const FRAME_BODY_BYTES_MAX = AUDIT_RECORD_BYTES_MAX;
/** `{}`, the shortest JSON object. A run of zeros is therefore not a sequence of empty frames. */
const FRAME_BODY_BYTES_MIN = 2;
const BEGINS = 0x8000_0000;

/**
 * What ends the frames before the end of the file. `torn`: no later write follows, as after a power
 * cut. `broken`: one follows, so this frame was once complete.
 */
export interface FrameDamage {
  readonly kind: "torn" | "broken";
  readonly why: string;
}

export interface Frames {
  readonly bodies: readonly Uint8Array[];
  /** Bytes that hold these bodies. What follows is damaged, or zeros, or nothing follows. */
  readonly validBytes: number;
  /** Bytes from there to the last one that is not zero: what is left of a damaged write. */
  readonly tornBytes: number;
  readonly damage: FrameDamage | undefined;
}

/** @param begins whether the frame is the first of its write. */
export function encodeFrame(body: Uint8Array, begins = true): Uint8Array {
  assert(
    body.byteLength >= FRAME_BODY_BYTES_MIN && body.byteLength <= FRAME_BODY_BYTES_MAX,
    "a frame's body is within its bounds",
  );
  const frame = Buffer.allocUnsafe(FRAME_HEAD_BYTES + body.byteLength);
  frame.writeUInt32BE(body.byteLength + (begins ? BEGINS : 0), 0);
  frame.set(body, FRAME_HEAD_BYTES);
  frame.writeUInt32BE(checksum(frame, 0, body.byteLength), 4);
  return frame;
}

function checksum(view: Buffer, at: number, length: number): number {
  return crc32(view.subarray(at + FRAME_HEAD_BYTES, at + FRAME_HEAD_BYTES + length), crc32(view.subarray(at, at + 4)));
}

/**
 * The frames from the start of `bytes` up to its end or to the first damaged one. The bodies are
 * views of `bytes`.
 */
export function readFrames(bytes: Uint8Array): Frames {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const bodies: Uint8Array[] = [];
  let at = 0;
  while (!endsAt(view, at)) {
    const body = frameAt(view, at);
    if (typeof body === "string") {
      const damage = { kind: writeAfter(view, at) ? "broken" : "torn", why: body } as const;
      return { bodies, validBytes: at, tornBytes: lengthWithoutZeros(view) - at, damage };
    }
    bodies.push(body);
    at += FRAME_HEAD_BYTES + body.byteLength;
  }
  return { bodies, validBytes: at, tornBytes: 0, damage: undefined };
}

/** Whether nothing but zeros follows. No frame has the length 0, so they are compared only once. */
function endsAt(view: Buffer, at: number): boolean {
  const left = view.byteLength - at;
  if (left >= 4 && view.readUInt32BE(at) !== 0) return false;
  return view.subarray(at).equals(Buffer.alloc(left));
}

/** @returns the length of `bytes` without the zeros at its end. */
export function lengthWithoutZeros(bytes: Uint8Array): number {
  return bytes.findLastIndex((byte) => byte !== 0) + 1;
}

/** @returns the body of the frame at `at`, or a text that says why there is none. */
function frameAt(view: Buffer, at: number): Uint8Array | string {
  if (view.byteLength - at < FRAME_HEAD_BYTES) return "its frame ends early";
  const length = view.readUInt32BE(at) % BEGINS;
  if (length < FRAME_BODY_BYTES_MIN || length > FRAME_BODY_BYTES_MAX) return `its frame has an impossible length, ${length}`;
  const start = at + FRAME_HEAD_BYTES;
  if (view.byteLength - start < length) return "its frame ends early";
  if (checksum(view, at, length) !== view.readUInt32BE(at + 4)) return "its bytes do not match its CRC";
  return view.subarray(start, start + length);
}

/**
 * Beginnings of writes that are tried: as many as a segment has frames. What cut writes leave
 * behind has fewer, and each costs a checksum over a body. [STA-31]
 */
const BEGINNINGS_TRIED_MAX = 256;

/**
 * The length of a damaged frame proves nothing, so every later offset is tried. No body can pass
 * for a frame: canonical JSON has no zero byte, and a length within bounds has one in second place.
 * Bytes with more beginnings than a segment can have are not what a cut leaves.
 */
function writeAfter(view: Buffer, damaged: number): boolean {
  let tried = 0;
  for (let at = damaged + 1; at + FRAME_HEAD_BYTES < view.byteLength; at++) {
    if (view[at] !== 0x80 || view[at + 1] !== 0) continue;
    tried += 1;
    if (tried > BEGINNINGS_TRIED_MAX || typeof frameAt(view, at) !== "string") return true;
  }
  return false;
}
