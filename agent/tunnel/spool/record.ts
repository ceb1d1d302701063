// The records in a segment of the spool: frames of length, CRC-32 and body. A body is a message, or
// a mark that all messages before a number are acknowledged.
import { hash } from "node:crypto";
import { crc32 } from "node:zlib";
import { assert } from "../../../hal/fault.ts";
import { UP_CHANNELS, type UpChannel } from "../format.ts";
import { RECORD_BYTES_MAX } from "./limits.ts";

/** A waiting message. Its payload is complete, so that every transmission is the same. [TUN-8] */
export interface SpoolEntry {
  readonly channel: UpChannel;
  readonly written: Written;
  readonly payload: Uint8Array;
}

/**
 * When a message was spooled, by a clock that can tell its age later: by the wall clock where the
 * hub had set it, else by the monotonic clock of that boot. A message dated 1970 is not 50 years
 * old. [TUN-73]
 */
export type Written =
  /** Unix milliseconds. */
  | { readonly by: "hub-time"; readonly atMs: number }
  /** Milliseconds of CLOCK_MONOTONIC; `boot` as {@link bootTag} gives it. */
  | { readonly by: "boot"; readonly boot: number; readonly atMs: number }
  | { readonly by: "unknown" };

export type Item =
  | { readonly kind: "message"; readonly entry: SpoolEntry }
  /** `before`: number of the first message that is not acknowledged. */
  | { readonly kind: "mark"; readonly before: number };

const FRAME_BYTES = 8;
const MESSAGE_HEADER_BYTES = 11;
const MARK_BYTES = 9;
const KIND_MESSAGE = 1;
const KIND_MARK = 2;

/** In the byte for the clock. Further values are the low part of a boot's tag. */
const BY_UNKNOWN = 0;
const BY_HUB_TIME = 1;
const BY_BOOT = 2;
const BOOT_LOW_VALUES = 256 - BY_BOOT;
const BOOT_HIGH_VALUES = 4096;
/** 34 years of a boot in milliseconds: with the tag's high part the number stays exact. */
const MONOTONIC_MS_VALUES = 2 ** 40;

/** A boot's id as a small number: two boots have the same one once in a million. */
export function bootTag(bootId: string): number {
  return Number.parseInt(hash("sha256", bootId).slice(0, 12), 16) % (BOOT_LOW_VALUES * BOOT_HIGH_VALUES);
}

/** The length of a message's record, in bytes. */
export function messageBytes(entry: SpoolEntry): number {
  return FRAME_BYTES + MESSAGE_HEADER_BYTES + entry.payload.byteLength;
}

/**
 * Each record is a frame, little endian: u32 length of the body, u32 CRC-32 of the body, body.
 * A message's body: u8 kind, u8 channel (index in UP_CHANNELS), u8 clock, f64 time, payload. A
 * mark's body: u8 kind, f64 number (exact up to 2^53). A program that does not know [TUN-73] takes
 * every clock but hub time for none, and lets such a message wait for ever.
 * @param mark the number before which all messages are acknowledged, to be written first; undefined
 *   for no mark.
 * @returns the records, one behind the other.
 */
export function encodeRecords(entries: readonly SpoolEntry[], mark: number | undefined): Uint8Array {
  const markBytes = mark === undefined ? 0 : FRAME_BYTES + MARK_BYTES;
  const bytes = entries.reduce((sum, entry) => sum + messageBytes(entry), markBytes);
  // every byte of it is written below
  const records = Buffer.allocUnsafe(bytes);
  let end = mark === undefined ? 0 : putMark(records, mark);
  for (const entry of entries) end = putMessage(records, end, entry);
  assert(end === bytes, "the records have their length");
  return records;
}

/** @returns where the record ends. */
function putMessage(records: Buffer, start: number, entry: SpoolEntry): number {
  const body = start + FRAME_BYTES;
  records.writeUInt8(KIND_MESSAGE, body);
  records.writeUInt8(UP_CHANNELS.indexOf(entry.channel), body + 1);
  const [clock, time] = encodeWritten(entry.written);
  records.writeUInt8(clock, body + 2);
  records.writeDoubleLE(time, body + 3);
  records.set(entry.payload, body + MESSAGE_HEADER_BYTES);
  return seal(records, start, start + messageBytes(entry));
}

function encodeWritten(written: Written): readonly [clock: number, time: number] {
  switch (written.by) {
    case "unknown":
      return [BY_UNKNOWN, 0];
    case "hub-time":
      return [BY_HUB_TIME, written.atMs];
    case "boot": {
      const high = Math.floor(written.boot / BOOT_LOW_VALUES);
      return [BY_BOOT + (written.boot % BOOT_LOW_VALUES), high * MONOTONIC_MS_VALUES + Math.floor(written.atMs)];
    }
  }
}

function decodeWritten(clock: number, time: number): Written {
  if (clock === BY_UNKNOWN) return { by: "unknown" };
  if (clock === BY_HUB_TIME) return { by: "hub-time", atMs: time };
  const high = Math.floor(time / MONOTONIC_MS_VALUES);
  return { by: "boot", boot: high * BOOT_LOW_VALUES + (clock - BY_BOOT), atMs: time % MONOTONIC_MS_VALUES };
}

function putMark(records: Buffer, before: number): number {
  records.writeUInt8(KIND_MARK, FRAME_BYTES);
  records.writeDoubleLE(before, FRAME_BYTES + 1);
  return seal(records, 0, FRAME_BYTES + MARK_BYTES);
}

function seal(records: Buffer, start: number, end: number): number {
  assert(end - start <= RECORD_BYTES_MAX, "a spool record is within its bound");
  const body = start + FRAME_BYTES;
  records.writeUInt32LE(end - body, start);
  records.writeUInt32LE(crc32(records.subarray(body, end)), start + 4);
  return end;
}

/**
 * Reads records up to the first one that is incomplete or fails its checksum. The bytes from there
 * on were never durable, are damaged, or are zeros: room for later records, and no record.
 * @returns the records, and their length in bytes. Payloads share memory with `bytes`. Never
 *   throws.
 */
export function scan(bytes: Uint8Array): { readonly items: readonly Item[]; readonly goodBytes: number } {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const items: Item[] = [];
  let offset = 0;
  while (buffer.length - offset >= FRAME_BYTES) {
    const start = offset + FRAME_BYTES;
    const end = start + buffer.readUInt32LE(offset);
    if (end > buffer.length) break;
    const body = buffer.subarray(start, end);
    const item = crc32(body) === buffer.readUInt32LE(offset + 4) ? decode(body) : undefined;
    if (item === undefined) break;
    items.push(item);
    offset = end;
  }
  return { items, goodBytes: offset };
}

function decode(body: Buffer): Item | undefined {
  if (body.length === MARK_BYTES && body.readUInt8(0) === KIND_MARK) {
    const before = body.readDoubleLE(1);
    return Number.isSafeInteger(before) && before >= 0 ? { kind: "mark", before } : undefined;
  }
  if (body.length < MESSAGE_HEADER_BYTES || body.readUInt8(0) !== KIND_MESSAGE) return undefined;
  const channel = UP_CHANNELS[body.readUInt8(1)];
  const time = body.readDoubleLE(3);
  if (channel === undefined || !Number.isFinite(time)) return undefined;
  const written = decodeWritten(body.readUInt8(2), time);
  return { kind: "message", entry: { channel, written, payload: body.subarray(MESSAGE_HEADER_BYTES) } };
}
