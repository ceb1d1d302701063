// Splits the bytes of a pipe into lines and enforces the bound while they arrive.
import { Fault } from "../../fault.ts";

const NEWLINE = 0x0a;

/**
 * Lines of UTF-8 without their newline. An unfinished line at the end is dropped.
 * @throws Fault `process.failed` for a line above the bound.
 */
export async function* textLines(stream: AsyncIterable<Buffer>, lineBytesMax: number): AsyncGenerator<string> {
  let pending = Buffer.alloc(0);
  for await (const chunk of stream) {
    pending = Buffer.concat([pending, chunk]);
    for (let end = pending.indexOf(NEWLINE); end >= 0; end = pending.indexOf(NEWLINE)) {
      if (end >= lineBytesMax) break;
      const line = pending.toString("utf8", 0, end);
      pending = pending.subarray(end + 1);
      yield line;
    }
    if (pending.byteLength >= lineBytesMax) throw new Fault("process.failed", `a line has more than ${lineBytesMax} bytes`);
  }
}
