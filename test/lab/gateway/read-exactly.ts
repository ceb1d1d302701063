// Reading a socket in pieces of a known length, for both sides of the block protocol.
import type { Socket } from "node:net";

/** @returns exactly `length` bytes, or undefined when the connection ends before. */
export async function readExactly(socket: Socket, length: number): Promise<Buffer | undefined> {
  const pieces: Buffer[] = [];
  for (let missing = length; ;) {
    if (socket.destroyed) return undefined; // also when it was cut with bytes still to be read
    // what is there is taken out of the stream: one that holds bytes says "readable" again to each new listener, and that without end
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
