// The framing of MQTT packets: where each begins and how long it is, so that a packet is refused by
// its header, before it is held in memory. The broker's parser would accept 256 MB from any client.
// Pure. MQTT 3.1.1 section 2.2.3; the same in MQTT 5, section 2.1.4.

export type Framing =
  | { readonly at: "type"; readonly packets: number }
  | { readonly at: "length"; readonly packets: number; readonly type: number; readonly length: number; readonly shift: number }
  /**
   * `id`: for a PUBACK, the part of its packet identifier that was read. `filters`: for a SUBSCRIBE
   * or UNSUBSCRIBE, how far its list was counted.
   */
  | { readonly at: "body"; readonly packets: number; readonly left: number; readonly id?: number; readonly filters?: FilterList };

/** A list of filters is counted while it comes, and nothing of it is kept. [STA-31] */
interface FilterList {
  /** Of the whole packet. */
  readonly bytes: number;
  /** Bytes after each filter: SUBSCRIBE has one for its options. */
  readonly optionBytes: number;
  /** Filters that have begun. */
  readonly count: number;
  /** Bytes before the next filter begins. */
  readonly skip: number;
  /** The first byte of a filter's length, when it was read and the second one was not. */
  readonly high?: number;
}

export const FRAMING_START: Framing = { at: "type", packets: 0 };

export interface FramingLimits {
  /** The first packet, CONNECT, comes from an unknown client. */
  readonly firstBytesMax: number;
  readonly packetBytesMax: number;
  /** A SUBSCRIBE or UNSUBSCRIBE, which the broker works through filter by filter. */
  readonly subscribeBytesMax: number;
  readonly filtersMax: number;
}

export type FramingStep =
  | {
      readonly framing: Framing;
      /** Packet identifiers of the PUBACKs that ended in this chunk. */
      readonly acknowledged: readonly number[];
    }
  /** The announced length, or undefined when the length itself is malformed. */
  | { readonly refused: number | undefined; readonly filters?: number };

/** MQTT 3.1.1 section 3.4: a fixed header and two bytes. */
const PUBACK = 4;
const PUBACK_BYTES = 2;
/** MQTT 3.1.1 sections 3.8 and 3.10: a packet identifier, then filters. */
const OPTION_BYTES: Readonly<Record<number, number>> = { 8: 1, 10: 0 };
const PACKET_ID_BYTES = 2;

/** @returns the framing after `chunk`. */
export function next(framing: Framing, chunk: Uint8Array, limits: FramingLimits): FramingStep {
  let state = framing;
  const acknowledged: number[] = [];
  let at = 0;
  while (at < chunk.byteLength) {
    switch (state.at) {
      case "type":
        state = { at: "length", packets: state.packets, type: (chunk[at] ?? 0) >> 4, length: 0, shift: 1 };
        at += 1;
        break;
      case "length": {
        const byte = chunk[at] ?? 0;
        const length = state.length + (byte & 0x7f) * state.shift;
        at += 1;
        if (byte >= 0x80) {
          if (state.shift >= 128 ** 3) return { refused: undefined };
          state = { ...state, length, shift: state.shift * 128 };
          break;
        }
        const optionBytes = state.packets === 0 ? undefined : OPTION_BYTES[state.type];
        if (length > bytesMax(state.packets, optionBytes, limits)) return { refused: length };
        const packets = state.packets + 1;
        const id = state.type === PUBACK && length === PUBACK_BYTES ? { id: 0 } : {};
        const filters =
          optionBytes === undefined ? {} : { filters: { bytes: length, optionBytes, count: 0, skip: PACKET_ID_BYTES } };
        state = length === 0 ? { at: "type", packets } : { at: "body", packets, left: length, ...id, ...filters };
        break;
      }
      case "body": {
        const taken = Math.min(state.left, chunk.byteLength - at);
        const { packets, left } = state;
        const id =
          state.id === undefined ? undefined : chunk.subarray(at, at + taken).reduce((sum, byte) => sum * 256 + byte, state.id);
        const filters = state.filters && countFilters(state.filters, chunk.subarray(at, at + taken), limits.filtersMax);
        if (filters !== undefined && filters.count > limits.filtersMax) return { refused: filters.bytes, filters: filters.count };
        at += taken;
        if (taken === left && id !== undefined) acknowledged.push(id);
        state =
          taken === left
            ? { at: "type", packets }
            : { at: "body", packets, left: left - taken, ...(id === undefined ? {} : { id }), ...(filters && { filters }) };
        break;
      }
    }
  }
  return { framing: state, acknowledged };
}

function bytesMax(packets: number, optionBytes: number | undefined, limits: FramingLimits): number {
  if (packets === 0) return limits.firstBytesMax;
  return optionBytes === undefined ? limits.packetBytesMax : limits.subscribeBytesMax;
}

/** Goes on counting in `bytes`, and ends with one filter more than `countMax`. */
function countFilters(list: FilterList, bytes: Uint8Array, countMax: number): FilterList {
  let { count, skip, high } = list;
  for (let at = 0; at < bytes.byteLength && count <= countMax;) {
    if (skip > 0) {
      const skipped = Math.min(skip, bytes.byteLength - at);
      skip -= skipped;
      at += skipped;
      continue;
    }
    const byte = bytes[at] ?? 0;
    at += 1;
    if (high === undefined) {
      high = byte;
      count += 1;
    } else {
      skip = high * 256 + byte + list.optionBytes;
      high = undefined;
    }
  }
  const { high: _before, ...rest } = list;
  return { ...rest, count, skip, ...(high !== undefined && { high }) };
}
