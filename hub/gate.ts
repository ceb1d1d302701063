// The gate of a TLS server: how many connections each source may have, and how fast it may open
// them. What a client is allowed to hold depends on whether it has shown a valid device
// certificate, so strangers never take the room of devices. [TUN-23]
import type { X509Certificate } from "node:crypto";
import type { Socket } from "node:net";
import type { Server, TLSSocket } from "node:tls";
import { identify } from "./devices/index.ts";
import type { JournalWriter } from "./journal.ts";
import {
  CONNECTIONS_BURST,
  CONNECTIONS_PER_S,
  DEVICE_CONNECTIONS_BURST,
  DEVICE_CONNECTIONS_PER_S,
  PROVEN_PER_DEVICE_MAX,
  UNPROVEN_PER_SOURCE_MAX,
} from "./limits.ts";
import { Pace } from "./pace.ts";
import { type Share, Shares } from "./shares.ts";
import { sourceOf } from "./source.ts";

export interface GateOptions {
  /** For the journal: `est` or `mqtt`. */
  readonly service: string;
  readonly unprovenMax: number;
  readonly provenMax: number;
  readonly authority: X509Certificate;
  readonly journal: JournalWriter;
}

/** Guards `server`. Call it before the server listens. */
export function guardConnections(server: Server, options: GateOptions): void {
  const gate = new Gate(options);
  // Behind the shares, in case that a socket ends without telling.
  server.maxConnections = 2 * (options.unprovenMax + options.provenMax);
  server.on("connection", (socket: Socket) => gate.arrived(socket));
  server.on("secureConnection", (socket: TLSSocket) => gate.secured(socket));
}

class Gate {
  readonly #options: GateOptions;
  readonly #pace = new Pace({ burst: CONNECTIONS_BURST, perSecond: CONNECTIONS_PER_S });
  readonly #devicePace = new Pace({ burst: DEVICE_CONNECTIONS_BURST, perSecond: DEVICE_CONNECTIONS_PER_S });
  readonly #unproven: Shares;
  readonly #proven: Shares;
  /** By address and port of the peer: the TLS socket is another object than the TCP socket. */
  readonly #shares = new Map<string, Share>();

  constructor(options: GateOptions) {
    this.#options = options;
    this.#unproven = new Shares({ countMax: options.unprovenMax, ofSourceMax: UNPROVEN_PER_SOURCE_MAX });
    this.#proven = new Shares({ countMax: options.provenMax, ofSourceMax: PROVEN_PER_DEVICE_MAX });
  }

  arrived(socket: Socket): void {
    const source = sourceOf(socket.remoteAddress ?? "");
    const key = keyOf(socket);
    if (!this.#pace.take(source)) {
      this.#note("pace", source);
      socket.destroy();
      return;
    }
    this.#shares.set(
      key,
      this.#unproven.enter(source, () => this.#evict(socket, source)),
    );
    socket.once("close", () => {
      this.#shares.get(key)?.leave();
      this.#shares.delete(key);
    });
  }

  secured(socket: TLSSocket): void {
    const shown = identify(socket.getPeerX509Certificate(), this.#options.authority, Date.now());
    const key = keyOf(socket);
    if (!shown.valid || !this.#shares.has(key)) return;
    if (!this.#devicePace.take(shown.deviceId)) {
      this.#note("pace", shown.deviceId);
      socket.destroy();
      return;
    }
    this.#shares.get(key)?.leave();
    this.#shares.set(
      key,
      this.#proven.enter(shown.deviceId, () => this.#evict(socket, shown.deviceId)),
    );
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
