// The broker's side of MQTT 5, packet by packet over mutual TLS, for what no correct broker does.
import type { TLSSocket } from "node:tls";
import type { Pki } from "./pki.ts";
import { type Peer, startPeer } from "./tls-peer.ts";
import type { TestContext } from "../runner/context.ts";

export interface Packet {
  /** 1 CONNECT, 3 PUBLISH, 8 SUBSCRIBE, 12 PINGREQ, 14 DISCONNECT. */
  readonly type: number;
  readonly body: Buffer;
}

/**
 * @param properties of the CONNACK, by identifier and two or four bytes: 0x21 is the receive
 * maximum, 0x27 the maximum packet size (MQTT 5.0 section 3.2.2.3).
 */
export function connack(properties: Buffer = Buffer.alloc(0)): Buffer {
  return Buffer.from([0x20, 3 + properties.length, 0x00, 0x00, properties.length, ...properties]);
}

/** @returns the answer to a SUBSCRIBE for four topics. */
export function suback(packet: Packet): Buffer {
  return Buffer.from([0x90, 0x07, packet.body[0] ?? 0, packet.body[1] ?? 0, 0x00, 1, 1, 1, 1]);
}

/** @returns the answer to a PUBLISH at QoS 1. */
export function puback(packet: Packet): Buffer {
  const topicLength = packet.body.readUInt16BE(0);
  return Buffer.from([0x40, 0x02, packet.body[2 + topicLength] ?? 0, packet.body[3 + topicLength] ?? 0]);
}

/** @returns a PUBLISH at QoS 0, of at most 16,383 bytes after its header. */
export function publication(topicText: string, payload: string): Buffer {
  const topic = Buffer.from(topicText);
  const rest = Buffer.concat([Buffer.from([0, topic.length]), topic, Buffer.from([0]), Buffer.from(payload)]);
  return Buffer.concat([Buffer.from([0x30, (rest.length & 0x7f) | 0x80, rest.length >> 7]), rest]);
}

/**
 * @returns what a correct broker answers; nothing where MQTT wants no answer.
 * @param welcome the CONNACK.
 */
export function answerTo(packet: Packet, welcome: Buffer = connack()): Buffer {
  if (packet.type === 1) return welcome;
  if (packet.type === 8) return suback(packet);
  return packet.type === 3 ? puback(packet) : Buffer.alloc(0);
}

/** @returns whether it is a PUBLISH of the device other than its status. */
export function isReport(packet: Packet): boolean {
  return packet.type === 3 && !topicOf(packet).endsWith("/status");
}

export function topicOf(packet: Packet): string {
  return packet.body.subarray(2, 2 + packet.body.readUInt16BE(0)).toString();
}

/** `onPacket` answers every packet of every connection. Ends with the test. */
export function startMqttPeer(
  t: TestContext,
  pki: Pick<Pki, "server" | "authority">,
  onPacket: (packet: Packet, socket: TLSSocket) => void,
): Promise<Peer> {
  return startPeer(t, {
    server: pki.server,
    authority: pki.authority,
    onSecure(socket) {
      let rest = Buffer.alloc(0);
      socket.on("data", (chunk: Buffer) => {
        rest = Buffer.concat([rest, chunk]);
        for (let packet = first(rest); packet !== undefined; packet = first(rest)) {
          rest = rest.subarray(packet.bytes);
          onPacket(packet, socket);
        }
      });
    },
  });
}

function first(bytes: Buffer): (Packet & { readonly bytes: number }) | undefined {
  let length = 0;
  for (let digit = 1; digit < bytes.length && digit <= 4; digit += 1) {
    const byte = bytes[digit] ?? 0;
    length += (byte & 0x7f) * 128 ** (digit - 1);
    if ((byte & 0x80) !== 0) continue;
    const end = digit + 1 + length;
    return bytes.length < end ? undefined : { type: (bytes[0] ?? 0) >> 4, body: bytes.subarray(digit + 1, end), bytes: end };
  }
  return undefined;
}
