// The framing of MQTT packets: where each begins and how long it is, so that a packet is refused by
// its header, before it is held in memory. The broker's parser would accept 256 MB from any client.
// Pure. MQTT 3.1.1 section 2.2.3; the same in MQTT 5, section 2.1.4.

export type Framing =
  | { readonly at: "type"; readonly packets: number }
  | { readonly at: "length"; readonly packets: number; readonly type: number; readonly length: number; readonly shift: number }
  /** `id`: for a PUBACK, the part of its packet identifier that was read. */
  | { readonly at: "body"; readonly packets: number; readonly left: number; readonly id?: number };

export const FRAMING_START: Framing = { at: "type", packets: 0 };

export interface FramingLimits {
  /** The first packet, CONNECT, comes from an unknown client. */
  readonly firstBytesMax: number;
  readonly packetBytesMax: number;
}

export type FramingStep =
  | {
      readonly framing: Framing;
      /** Packet identifiers of the PUBACKs that ended in this chunk. */
      readonly acknowledged: readonly number[];
    }
  /** The announced length, or undefined when the length itself is malformed. */
  | { readonly refused: number | undefined };

/** MQTT 3.1.1 section 3.4: a fixed header and two bytes. */
const PUBACK = 4;
const PUBACK_BYTES = 2;

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
        if (length > (state.packets === 0 ? limits.firstBytesMax : limits.packetBytesMax)) return { refused: length };
        const packets = state.packets + 1;
        const id = state.type === PUBACK && length === PUBACK_BYTES ? { id: 0 } : {};
        state = length === 0 ? { at: "type", packets } : { at: "body", packets, left: length, ...id };
        break;
      }
      case "body": {
        const taken = Math.min(state.left, chunk.byteLength - at);
        const { packets, left } = state;
        const id =
          state.id === undefined ? undefined : chunk.subarray(at, at + taken).reduce((sum, byte) => sum * 256 + byte, state.id);
        at += taken;
        if (taken === left && id !== undefined) acknowledged.push(id);
        state =
          taken === left
            ? { at: "type", packets }
            : { at: "body", packets, left: left - taken, ...(id === undefined ? {} : { id }) };
        break;
      }
    }
  }
  return { framing: state, acknowledged };
}
