// The framing of the protocol: bytes to lines of one JSON value each, bounded while they arrive.
// Pure; warden and client share it. [OPS-1]
import { Fault } from "../../../hal/fault.ts";

const NEWLINE = 0x0a;

export interface LineSplitter {
  /**
   * The lines that `chunk` completes, without their newline. The rest waits for the next chunk.
   * Lines before one that is too long come first: the fault follows with the next call of the
   * iterator.
   * @throws Fault `protocol.too-large` as soon as a line with its newline must exceed
   *   `lineBytesMax`.
   */
  push(chunk: Uint8Array): Generator<Uint8Array>;
  /** True while bytes of an unfinished line wait. */
  pending(): boolean;
}

/** Buffers at most `lineBytesMax` bytes. */
export function createLineSplitter(lineBytesMax: number): LineSplitter {
  let pieces: Uint8Array[] = [];
  let buffered = 0;
  return {
    *push(chunk) {
      let start = 0;
      for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
        if (buffered + end - start + 1 > lineBytesMax) throw tooLong(lineBytesMax);
        const line = buffered === 0 ? chunk.subarray(start, end) : Buffer.concat([...pieces, chunk.subarray(start, end)]);
        pieces = [];
        buffered = 0;
        start = end + 1;
        yield line;
      }
      const rest = chunk.byteLength - start;
      // its newline would lie beyond the bound
      if (buffered + rest + 1 > lineBytesMax) throw tooLong(lineBytesMax);
      if (rest > 0) {
        // a copy: Buffer.slice would share memory that the reader may reuse
        pieces = joined(pieces, Uint8Array.from(chunk.subarray(start)));
        buffered += rest;
      }
    },
    pending: () => buffered > 0,
  };
}

/** Many one-byte chunks must not become many small buffers: above this number they are joined. */
const PIECES_MAX = 64;

function joined(pieces: readonly Uint8Array[], piece: Uint8Array): Uint8Array[] {
  const all = [...pieces, piece];
  return all.length > PIECES_MAX ? [Buffer.concat(all)] : all;
}

function tooLong(lineBytesMax: number): Fault {
  return new Fault("protocol.too-large", `a line has at most ${lineBytesMax} bytes with its newline, this one is longer`);
}
