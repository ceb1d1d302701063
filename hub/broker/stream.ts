// The stream that the broker reads: the TLS socket with bounded packets, and with an end that lets
// the last bytes out.
import { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { Fault } from "../../hal/fault.ts";
import { MQTT_LINGER_MS } from "../limits.ts";
import { type Framing, FRAMING_START, type FramingLimits, next } from "./framing.ts";

export interface StreamObserver {
  /**
   * A packet was over its limit, and the connection ends.
   * @param length undefined: malformed.
   * @param filters how many, when there were too many of them.
   */
  refused(length: number | undefined, filters: number | undefined): void;
  /** @returns milliseconds to wait before more is read from this peer. */
  read(packets: number, bytes: number): number;
  /** A PUBACK came, with this packet identifier. */
  acknowledged(messageId: number): void;
}

export function createBoundedStream(socket: TLSSocket, limits: FramingLimits, observer: StreamObserver): Duplex {
  let framing: Framing = FRAMING_START;
  let pause: NodeJS.Timeout | undefined;
  const stream = new Duplex({
    read: () => {
      if (pause === undefined) socket.resume();
    },
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
      observer.refused(step.refused, step.filters);
      stream.destroy(
        new Fault("message.invalid", `packet of ${step.refused ?? "unreadable"} bytes: more than this connection may send`),
      );
      return;
    }
    const packets = step.framing.packets - framing.packets;
    framing = step.framing;
    for (const messageId of step.acknowledged) observer.acknowledged(messageId);
    const waitMs = observer.read(packets, chunk.byteLength);
    if (waitMs > 0) {
      clearTimeout(pause);
      pause = setTimeout(() => {
        pause = undefined;
        socket.resume();
      }, waitMs);
    }
    if (!stream.push(chunk) || waitMs > 0) socket.pause();
  });
  socket.on("end", () => void stream.push(null));
  socket.on("error", (error) => void stream.destroy(error));
  socket.on("close", () => {
    clearTimeout(pause);
    stream.destroy();
  });
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
