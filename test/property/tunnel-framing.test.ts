import fc from "fast-check";
import { test } from "tap";
import { createFramingGuard } from "../../agent/tunnel/framing.ts";

const CONNACK = Buffer.from([0x20, 0x02, 0x00, 0x00]);

/** MQTT 5.0 section 2.1: first byte, length in digits of 7 bits, the rest. */
function packet(first: number, rest: Uint8Array): Buffer {
  const length: number[] = [];
  let left = rest.byteLength;
  do {
    const digit = left % 128;
    left = Math.floor(left / 128);
    length.push(left > 0 ? digit | 0x80 : digit);
  } while (left > 0);
  return Buffer.concat([Buffer.from([first, ...length]), rest]);
}

/** PUBLISH at QoS 0 and 1 with their flags, PUBACK, SUBACK, UNSUBACK, PINGRESP, DISCONNECT. */
const allowed = fc.constantFrom(0x30, 0x31, 0x32, 0x3b, 0x40, 0x90, 0xb0, 0xd0, 0xe0);
const packets = fc.tuple(allowed, fc.uint8Array({ maxLength: 20_000 })).map(([first, rest]) => packet(first, rest));
const cuts = fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1, maxLength: 20 });

function refuses(guard: (chunk: Uint8Array) => void, bytes: Uint8Array): boolean {
  try {
    guard(bytes);
    return false;
  } catch {
    return true;
  }
}

test("[TUN-7] every packet that a broker may send passes the guard in any TCP segments; one byte of a wrong kind after it does not", async (t) => {
  const property = fc.property(fc.array(packets, { maxLength: 8 }), cuts, (list, cuts) => {
    const bytes = Buffer.concat([CONNACK, ...list]);
    const guard = createFramingGuard();
    for (let offset = 0, round = 0; offset < bytes.length; round += 1) {
      const length = cuts[round % cuts.length] ?? 1;
      if (refuses(guard, bytes.subarray(offset, offset + length))) return false;
      offset += length;
    }
    return refuses(guard, Buffer.from([0x34]));
  });
  t.doesNotThrow(() => fc.assert(property));
});
