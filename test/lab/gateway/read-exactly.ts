// Reads from a socket in pieces of a known length, for both sides of the block protocol.
import type { Socket } from "node:net";

/** @returns exactly `length` bytes, or undefined when the connection ends before. */
export async function readExactly(socket: Socket, length: number): Promise<Buffer | undefined> {
  const pieces: Buffer[] = [];
  for (let missing = length; ;) {
    if (socket.destroyed) return undefined; // Also when it was cut with bytes still to be read.
    // The bytes that are there are taken out of the stream: a stream that holds bytes emits
    // "readable" to each new listener without end.
    const got: unknown = socket.read(missing) ?? socket.read();
    if (Buffer.isBuffer(got)) {
      pieces.push(got);
      missing -= got.length;
      if (missing === 0) return pieces.length === 1 ? got : Buffer.concat(pieces);
      continue;
    }
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
