// Splits the bytes of a pipe into lines and enforces the bound while they arrive.
import { Fault } from "../../fault.ts";

const NEWLINE = 0x0a;

/**
 * Lines of UTF-8 without their newline. An unfinished line at the end is dropped.
 * @throws Fault `process.failed` for a line above the bound.
 */
export async function* textLines(stream: AsyncIterable<Buffer>, lineBytesMax: number): AsyncGenerator<string> {
  let held = Buffer.alloc(0);
  for await (const chunk of stream) {
    held = Buffer.concat([held, chunk]);
    for (let end = held.indexOf(NEWLINE); end >= 0; end = held.indexOf(NEWLINE)) {
      if (end >= lineBytesMax) break;
      const line = held.toString("utf8", 0, end);
      held = held.subarray(end + 1);
      yield line;
    }
    if (held.byteLength >= lineBytesMax) throw new Fault("process.failed", `a line has more than ${lineBytesMax} bytes`);
  }
}
