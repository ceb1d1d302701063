// The gate of a TLS server: how many connections each source may have, and when their handshakes
// begin. What a client is allowed to hold depends on whether it has shown a valid device
// certificate, so strangers never take the room of devices. [TUN-23] [TUN-24] [TUN-26]
import type { X509Certificate } from "node:crypto";
import type { Socket } from "node:net";
import type { Server, TLSSocket } from "node:tls";
import { identify } from "./devices/index.ts";
import { type HandshakePlace, HandshakeQueue } from "./handshakes.ts";
import type { JournalWriter } from "./journal.ts";
import {
  DEVICE_CONNECTIONS_BURST,
  DEVICE_CONNECTIONS_PER_S,
  FIRST_BYTE_MS_MAX,
  HANDSHAKE_CHECK_MS,
  HANDSHAKE_TURN_MS_MAX,
  HANDSHAKES_BURST,
  HANDSHAKES_PER_S,
  PROVEN_PER_DEVICE_MAX,
  TLS_HANDSHAKE_MS_MAX,
  UNPROVEN_PER_SOURCE_MAX,
  WRITE_PROGRESS_MS_MAX,
} from "./limits.ts";
import { Pace } from "./pace.ts";
import { ProgressWatch } from "./progress.ts";
import { type Share, Shares } from "./shares.ts";
import { sourceOf } from "./source.ts";

export interface GateOptions {
  /** For the journal: `est` or `mqtt`. */
  readonly service: string;
  readonly unprovenMax: number;
  readonly provenMax: number;
  readonly authority: X509Certificate;
  readonly journal: JournalWriter;
  /** A peer that takes nothing of what is sent to it for so long is cut off. Default: 20 s. */
  readonly progressMs?: number;
}

export interface GuardedConnections {
  /** Ends the connections whose handshake is not over: nobody else would when the server closes. */
  stop(): void;
}

/** Guards `server`. Call it before the server listens. */
export function guardConnections(server: Server, options: GateOptions): GuardedConnections {
  // The server's own listener begins the handshake. It is called when the connection has its turn.
  const listeners = server.listeners("connection");
  server.removeAllListeners("connection");
  const gate = new Gate(options, (socket) => {
    for (const listener of listeners) Reflect.apply(listener, server, [socket]);
  });
  // Behind the shares, in case that a socket ends without telling.
  server.maxConnections = 2 * (options.unprovenMax + options.provenMax);
  server.on("connection", (socket: Socket) => gate.arrived(socket));
  const progress = new ProgressWatch(options.progressMs ?? WRITE_PROGRESS_MS_MAX);
  server.on("secureConnection", (socket: TLSSocket) => {
    progress.add(socket);
    gate.secured(socket);
  });
  server.on("close", () => progress.stop());
  return { stop: () => gate.stop() };
}

/** A connection before the end of its handshake, and when it ends if it gets no further. */
interface Unsecured {
  readonly socket: Socket;
  untilMs: number;
}

class Gate {
  readonly #options: GateOptions;
  readonly #begin: (socket: Socket) => void;
  readonly #handshakes: HandshakeQueue;
  readonly #devicePace = new Pace({ burst: DEVICE_CONNECTIONS_BURST, perSecond: DEVICE_CONNECTIONS_PER_S });
  readonly #unproven: Shares;
  readonly #proven: Shares;
  /** By address and port of the peer: the TLS socket is another object than the TCP socket. */
  readonly #shares = new Map<string, Share>();
  readonly #unsecured = new Map<string, Unsecured>();
  readonly #timer = setInterval(() => this.#endLate(), HANDSHAKE_CHECK_MS).unref();

  constructor(options: GateOptions, begin: (socket: Socket) => void) {
    this.#options = options;
    this.#begin = begin;
    this.#handshakes = new HandshakeQueue({
      pace: new Pace({ burst: HANDSHAKES_BURST, perSecond: HANDSHAKES_PER_S }),
      onPaced: (source) => this.#note("pace", source),
    });
    this.#unproven = new Shares({ countMax: options.unprovenMax, ofSourceMax: UNPROVEN_PER_SOURCE_MAX });
    this.#proven = new Shares({ countMax: options.provenMax, ofSourceMax: PROVEN_PER_DEVICE_MAX });
  }

  arrived(socket: Socket): void {
    const source = sourceOf(socket.remoteAddress ?? "");
    const key = keyOf(socket);
    this.#shares.set(
      key,
      this.#unproven.enter(source, () => this.#evict(socket, source)),
    );
    const unsecured: Unsecured = { socket, untilMs: performance.now() + FIRST_BYTE_MS_MAX };
    this.#unsecured.set(key, unsecured);
    let place: HandshakePlace | undefined;
    socket.once("close", () => {
      place?.leave();
      this.#shares.get(key)?.leave();
      this.#shares.delete(key);
      this.#unsecured.delete(key);
    });
    socket.on("error", () => void socket.destroy());
    // A connection that says nothing costs no handshake and waits for none.
    socket.once("readable", () => {
      if (socket.destroyed) return;
      if (socket.readableLength === 0) return void socket.destroy(); // its end, and not a byte
      unsecured.untilMs = performance.now() + HANDSHAKE_TURN_MS_MAX;
      place = this.#handshakes.enter(source, () => {
        unsecured.untilMs = performance.now() + TLS_HANDSHAKE_MS_MAX;
        if (!socket.destroyed) this.#begin(socket);
      });
    });
  }

  secured(socket: TLSSocket): void {
    const shown = identify(socket.getPeerX509Certificate(), this.#options.authority, Date.now());
    const key = keyOf(socket);
    this.#unsecured.delete(key);
    if (!shown.valid || !this.#shares.has(key)) return;
    if (!this.#devicePace.take(shown.deviceId)) {
      this.#note("pace", shown.deviceId);
      socket.destroy();
      return;
    }
    this.#handshakes.proven(sourceOf(socket.remoteAddress ?? ""));
    this.#shares.get(key)?.leave();
    this.#shares.set(
      key,
      this.#proven.enter(shown.deviceId, () => this.#evict(socket, shown.deviceId)),
    );
  }

  stop(): void {
    clearInterval(this.#timer);
    for (const { socket } of this.#unsecured.values()) socket.destroy();
  }

  /** [TUN-26] Node's own limit for a handshake begins again with each byte. */
  #endLate(): void {
    const nowMs = performance.now();
    for (const { socket, untilMs } of this.#unsecured.values()) if (nowMs > untilMs) socket.destroy();
  }

  #evict(socket: Socket, source: string): void {
    this.#note("share", source);
    socket.destroy();
  }

  #note(over: "pace" | "share", from: string): void {
    this.#options.journal("connection.crowded", undefined, { service: this.#options.service, over, from });
  }
}

function keyOf({ remoteAddress = "", remotePort = 0 }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
