// The framing of MQTT packets: where each begins and how long it is, so that a packet is refused by
// its header, before it is held in memory. The broker's parser would accept 256 MB from any client.
// Pure. MQTT 3.1.1 section 2.2.3; the same in MQTT 5, section 2.1.4.

export type Framing =
  | { readonly at: "type"; readonly packets: number }
  | { readonly at: "length"; readonly packets: number; readonly type: number; readonly length: number; readonly shift: number }
  /**
   * `id`: for a PUBACK, the part of its packet identifier that was read. `filters`: for a SUBSCRIBE
   * or UNSUBSCRIBE, what was read of its list.
   */
  | { readonly at: "body"; readonly packets: number; readonly left: number; readonly id?: number; readonly filters?: FilterList };

interface FilterList {
  readonly bytes: Uint8Array;
  /** Bytes after each filter: SUBSCRIBE has one for its options. */
  readonly optionBytes: number;
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
        const filters = optionBytes === undefined ? {} : { filters: { bytes: new Uint8Array(), optionBytes } };
        state = length === 0 ? { at: "type", packets } : { at: "body", packets, left: length, ...id, ...filters };
        break;
      }
      case "body": {
        const taken = Math.min(state.left, chunk.byteLength - at);
        const { packets, left } = state;
        const id =
          state.id === undefined ? undefined : chunk.subarray(at, at + taken).reduce((sum, byte) => sum * 256 + byte, state.id);
        const filters = state.filters && {
          ...state.filters,
          bytes: Buffer.concat([state.filters.bytes, chunk.subarray(at, at + taken)]),
        };
        at += taken;
        if (taken === left && id !== undefined) acknowledged.push(id);
        if (taken === left && filters !== undefined) {
          const count = countFilters(filters, limits.filtersMax);
          if (count > limits.filtersMax) return { refused: filters.bytes.byteLength, filters: count };
        }
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

/** @returns how many filters there are, or one more than `countMax`. */
function countFilters({ bytes, optionBytes }: FilterList, countMax: number): number {
  let count = 0;
  for (let at = PACKET_ID_BYTES; at < bytes.byteLength && count <= countMax; count++)
    at += 2 + (bytes[at] ?? 0) * 256 + (bytes[at + 1] ?? 0) + optionBytes;
  return count;
}
