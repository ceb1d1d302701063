// The watch over peers that take nothing of what is sent to them. Whatever waits for such a peer,
// the answer to a request or a message, is dropped with its connection. [TUN-26]
import type { Socket } from "node:net";

export class ProgressWatch {
  /** Sockets, each with the bytes that its peer had taken at the last look; -1 without one. */
  readonly #taken = new Map<Socket, number>();
  readonly #timer: NodeJS.Timeout;

  /** @param progressMs how long a peer may take nothing. It is cut off within twice that time. */
  constructor(progressMs: number) {
    this.#timer = setInterval(() => this.look(), progressMs).unref();
  }

  add(socket: Socket): void {
    this.#taken.set(socket, -1);
    socket.once("close", () => this.#taken.delete(socket));
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Cuts off who has taken nothing since the last look. */
  look(): void {
    for (const [socket, before] of this.#taken) {
      // The kernel has these; what waits in the process is in both numbers.
      const taken = socket.bytesWritten - socket.writableLength;
      if (socket.writableLength > 0 && taken === before) socket.destroy();
      else this.#taken.set(socket, socket.writableLength > 0 ? taken : -1);
    }
  }
}
