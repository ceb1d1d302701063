// One JSON value a line, either way: how bytes become lines, with the bound kept while they arrive. Pure; warden and client share it. [OPS-1]
import { Fault } from "../../../hal/fault.ts";

const NEWLINE = 0x0a;

export interface LineSplitter {
  /**
   * The lines that `chunk` completes, without their newline. What is left over waits for the next chunk.
   * Lines before a line that is too long are given first: the fault comes with the next call of the iterator.
   * @throws Fault `protocol.too-large` as soon as a line with its newline can't stay within `lineBytesMax`.
   */
  push(chunk: Uint8Array): Generator<Uint8Array>;
  /** True when bytes of an unfinished line are waiting. */
  pending(): boolean;
}

/** Holds at most `lineBytesMax` bytes, whatever arrives. */
export function lineSplitter(lineBytesMax: number): LineSplitter {
  let parts: Uint8Array[] = [];
  let held = 0;
  return {
    *push(chunk) {
      let start = 0;
      for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
        if (held + end - start + 1 > lineBytesMax) throw tooLong(lineBytesMax);
        const line = held === 0 ? chunk.subarray(start, end) : Buffer.concat([...parts, chunk.subarray(start, end)]);
        parts = [];
        held = 0;
        start = end + 1;
        yield line;
      }
      const rest = chunk.byteLength - start;
      if (held + rest + 1 > lineBytesMax) throw tooLong(lineBytesMax); // its newline could only come beyond the bound
      if (rest > 0) {
        parts = joined(parts, Uint8Array.from(chunk.subarray(start))); // a copy: Buffer.slice would share what the reader may reuse
        held += rest;
      }
    },
    pending: () => held > 0,
  };
}

/** Many one-byte chunks must not become many small buffers: above a few parts they are one. */
const PARTS_MAX = 64;

function joined(parts: readonly Uint8Array[], part: Uint8Array): Uint8Array[] {
  const all = [...parts, part];
  return all.length > PARTS_MAX ? [Buffer.concat(all)] : all;
}

function tooLong(lineBytesMax: number): Fault {
  return new Fault("protocol.too-large", `a line has at most ${lineBytesMax} bytes with its newline, this one is longer`);
}
