// Reading a socket in pieces of a known length, for both sides of the block protocol.
import type { Socket } from "node:net";

/** @returns exactly `length` bytes, or undefined when the connection ends before. */
export async function take(socket: Socket, length: number): Promise<Buffer | undefined> {
  for (;;) {
    if (socket.destroyed) return undefined; // also when it was cut with bytes still to be read
    const got: unknown = socket.read(length);
    if (Buffer.isBuffer(got)) return got.length === length ? got : undefined;
    if (socket.readableEnded) return undefined;
    await new Promise<void>((resolve) => {
      const go = (): void => {
        for (const name of ["readable", "end", "close"]) socket.off(name, go);
        resolve();
      };
      for (const name of ["readable", "end", "close"]) socket.on(name, go);
    });
  }
}
