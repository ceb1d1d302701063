// The stream that the broker reads: the TLS socket with bounded packets, and with an end that lets
// the last bytes out.
import { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { Fault } from "../../hal/fault.ts";
import { MQTT_LINGER_MS } from "../limits.ts";
import { type Framing, FRAMING_START, type FramingLimits, next } from "./framing.ts";

export interface StreamObserver {
  /** A packet was over its limit, and the connection ends. @param length undefined: malformed. */
  refused(length: number | undefined): void;
  /** A PUBACK came, with this packet identifier. */
  acknowledged(messageId: number): void;
}

export function createBoundedStream(socket: TLSSocket, limits: FramingLimits, observer: StreamObserver): Duplex {
  let framing: Framing = FRAMING_START;
  const stream = new Duplex({
    read: () => void socket.resume(),
    write: (chunk: Uint8Array, _encoding, done) => void socket.write(chunk, done),
    writev: (chunks, done) => void socket.write(Buffer.concat(chunks.map(({ chunk }) => bytesOf(chunk))), done),
    final: (done) => void socket.end(done),
    destroy: (error, done) => {
      closeGently(socket);
      done(error);
    },
  });
  socket.on("data", (chunk: Uint8Array) => {
    if (stream.destroyed) return;
    const step = next(framing, chunk, limits);
    if ("refused" in step) {
      observer.refused(step.refused);
      stream.destroy(
        new Fault("message.invalid", `packet of ${step.refused ?? "unreadable"} bytes: more than this connection may send`),
      );
      return;
    }
    framing = step.framing;
    for (const messageId of step.acknowledged) observer.acknowledged(messageId);
    if (!stream.push(chunk)) socket.pause();
  });
  socket.on("end", () => void stream.push(null));
  socket.on("error", (error) => void stream.destroy(error));
  socket.on("close", () => void stream.destroy());
  return stream;
}

/**
 * A refusing CONNACK is the last thing sent. If the socket were cut at once, it might not arrive;
 * and a client that never reads must not hold the socket.
 */
function closeGently(socket: TLSSocket): void {
  if (socket.destroyed) return;
  const cut = setTimeout(() => void socket.destroy(), MQTT_LINGER_MS);
  socket.once("close", () => clearTimeout(cut));
  socket.end();
  socket.resume(); // unread input would turn the close into a reset
}

/** `writev` has untyped chunks; without `decodeStrings: false` they are bytes. */
function bytesOf(chunk: unknown): Uint8Array {
  if (chunk instanceof Uint8Array) return chunk;
  throw new Fault("assert.broken", "the broker wrote something that is not bytes");
}
