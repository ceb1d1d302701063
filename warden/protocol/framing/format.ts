// The framing of the protocol: bytes to lines of one JSON value each, bounded while they arrive.
// Pure; warden and client share it. [OPS-1] [STA-31]
import { Fault } from "../../../hal/fault.ts";
import { ByteCollector } from "../../../hal/format/collect.ts";

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
  const waiting = new ByteCollector();
  return {
    *push(chunk) {
      let start = 0;
      for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
        if (waiting.length + end - start + 1 > lineBytesMax) throw tooLong(lineBytesMax);
        const last = chunk.subarray(start, end);
        start = end + 1;
        yield waiting.length === 0 ? last : waiting.takeWith(last);
      }
      const rest = chunk.subarray(start);
      // its newline would lie beyond the bound
      if (waiting.length + rest.byteLength + 1 > lineBytesMax) throw tooLong(lineBytesMax);
      if (rest.byteLength > 0) waiting.add(rest);
    },
    pending: () => waiting.length > 0,
  };
}

function tooLong(lineBytesMax: number): Fault {
  return new Fault("protocol.too-large", `a line has at most ${lineBytesMax} bytes with its newline, this one is longer`);
}
