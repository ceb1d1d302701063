// A guard on the bytes from the hub, before mqtt.js parses them. The parser of mqtt.js collects up
// to 256 MB for one packet, and accepts packets that no broker may send to this client. The guard
// reads fixed headers only (MQTT 5.0 section 2.1, the same in 3.1.1).
import { Fault } from "../../hal/fault.ts";
import { PACKET_BYTES_MAX } from "./limits.ts";

const CONNACK = 2;
const PUBLISH = 3;
/**
 * PUBACK, SUBACK, UNSUBACK, PINGRESP and DISCONNECT: the other packets that a broker may send to a
 * client with QoS 1 that does not authenticate by AUTH.
 */
const EXPECTED: ReadonlySet<number> = new Set([4, 9, 11, 13, 14]);

/**
 * @returns a function that must be called with every chunk of bytes, in order. It throws Fault
 *   `tunnel.protocol` for a packet that is too large, a first packet that is not CONNACK, a second
 *   CONNACK, and a packet type or QoS that this client never asks for.
 */
export function createFramingGuard(): (chunk: Uint8Array) => void {
  let packets = 0;
  /**
   * Bytes of the current packet that are still missing; undefined between packets and within a
   * header.
   */
  let remaining: number | undefined;
  let header: number[] = [];

  return (chunk) => {
    let offset = 0;
    while (offset < chunk.length) {
      if (remaining === undefined) {
        header.push(chunk[offset] ?? 0);
        offset += 1;
        if (header.length === 1) checkType(header[0] ?? 0, packets);
        else remaining = remainingLength(header);
      } else {
        const taken = Math.min(remaining, chunk.length - offset);
        offset += taken;
        remaining -= taken;
      }
      if (remaining === 0) {
        packets += 1;
        header = [];
        remaining = undefined;
      }
    }
  };
}

function checkType(first: number, packets: number): void {
  const type = first >> 4;
  if (packets === 0 || type === CONNACK) {
    if (packets === 0 && type === CONNACK) return;
    throw broken(`packet ${packets + 1} is of type ${type}, expected CONNACK first and once`);
  }
  const qos = (first >> 1) & 3;
  if (type === PUBLISH && qos > 1) throw broken(`a message with QoS ${qos}, at most 1 was subscribed to`);
  if (type !== PUBLISH && !EXPECTED.has(type)) throw broken(`a packet of type ${type}, which this client never asks for`);
}

/**
 * @returns the remaining length once `header` has all its bytes: seven bits in each, four bytes at
 *   most, the last one without the top bit.
 */
function remainingLength(header: readonly number[]): number | undefined {
  const digits = header.slice(1);
  const last = digits.at(-1) ?? 0;
  if ((last & 0x80) !== 0) {
    if (digits.length >= 4) throw broken("a packet whose length has more than four bytes");
    return undefined;
  }
  const length = digits.reduce((sum, digit, index) => sum + (digit & 0x7f) * 128 ** index, 0);
  if (length > PACKET_BYTES_MAX) throw broken(`a packet of ${length} bytes, at most ${PACKET_BYTES_MAX} are accepted`);
  return length;
}

function broken(what: string): Fault {
  return new Fault("tunnel.protocol", `read from the hub: ${what}`);
}
