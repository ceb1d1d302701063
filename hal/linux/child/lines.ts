// Splits the bytes of a pipe into lines and enforces the bound while they arrive. [STA-31]
import { Fault } from "../../fault.ts";
import { ByteCollector } from "../../format/collect.ts";

const NEWLINE = 0x0a;

/**
 * Lines of UTF-8 without their newline. An unfinished line at the end is dropped.
 * @throws Fault `process.failed` for a line above the bound.
 */
export async function* textLines(stream: AsyncIterable<Buffer>, lineBytesMax: number): AsyncGenerator<string> {
  const waiting = new ByteCollector();
  for await (const chunk of stream) {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      if (waiting.length + end - start >= lineBytesMax) throw tooLong(lineBytesMax);
      const line = waiting.takeWith(chunk.subarray(start, end));
      start = end + 1;
      yield Buffer.from(line.buffer, line.byteOffset, line.byteLength).toString("utf8");
    }
    const rest = chunk.subarray(start);
    if (waiting.length + rest.byteLength >= lineBytesMax) throw tooLong(lineBytesMax);
    waiting.add(rest);
  }
}

function tooLong(lineBytesMax: number): Fault {
  return new Fault("process.failed", `a line has more than ${lineBytesMax} bytes`);
}
