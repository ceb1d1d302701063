// MQTT 3.1.1 packets as bytes, for what no correct client sends.

/** Section 2.2.3: the length of what follows, 7 bits a byte. */
function remainingLength(bytes: number): readonly number[] {
  const digits: number[] = [];
  let left = bytes;
  do {
    digits.push((left % 128) + (left >= 128 ? 128 : 0));
    left = Math.floor(left / 128);
  } while (left > 0);
  return digits;
}

function packet(header: number, ...parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.of(header, ...remainingLength(body.byteLength)), body]);
}

function field(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.of(bytes.byteLength >> 8, bytes.byteLength & 0xff), bytes]);
}

const identifier = (id: number): Buffer => Buffer.of(id >> 8, id & 0xff);

/** Section 3.1: a clean session. @param keepaliveS 0: the client promises no sign of life. */
export function connectPacket(clientId: string, keepaliveS = 60): Buffer {
  return packet(0x10, field("MQTT"), Buffer.of(4, 2, keepaliveS >> 8, keepaliveS & 0xff), field(clientId));
}

/** Section 3.3. */
export function publishPacket(topic: string, payload: string | Uint8Array, { qos, id }: { qos: 0 | 1 | 2; id: number }): Buffer {
  const bytes = typeof payload === "string" ? Buffer.from(payload) : payload;
  return packet(0x30 | (qos << 1), field(topic), ...(qos === 0 ? [] : [identifier(id)]), bytes);
}

/** Section 3.4. */
export function pubackPacket(id: number): Buffer {
  return packet(0x40, identifier(id));
}

/** Section 3.8, at QoS 1 for each filter. */
export function subscribePacket(id: number, filters: readonly string[]): Buffer {
  return packet(0x82, identifier(id), ...filters.flatMap((filter) => [field(filter), Buffer.of(1)]));
}

/** Section 3.10. */
export function unsubscribePacket(id: number, filters: readonly string[]): Buffer {
  return packet(0xa2, identifier(id), ...filters.map((filter) => field(filter)));
}

/** Section 3.12. */
export const PINGREQ = Buffer.of(0xc0, 0);
