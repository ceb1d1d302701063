// The line that answers a challenge, from standard input.
import { assert } from "../../hal/fault.ts";
import { ByteCollector } from "../../hal/format/collect.ts";

/** Longer than any answer. Nothing after it is read. */
const LINE_BYTES_MAX = 512;
const LINE_FEED = 0x0a;

/**
 * @returns the first line without its end, at most {@link LINE_BYTES_MAX} characters of it;
 *   undefined for an input without a byte.
 */
export async function readAnswerLine(input: AsyncIterable<unknown>): Promise<string | undefined> {
  const line = new ByteCollector();
  for await (const piece of input) {
    assert(piece instanceof Uint8Array, "standard input has no encoding set");
    const end = piece.indexOf(LINE_FEED);
    const room = Math.max(0, LINE_BYTES_MAX - line.length);
    line.add(piece.subarray(0, Math.min(end < 0 ? piece.byteLength : end, room)));
    if (end >= 0 || line.length === LINE_BYTES_MAX) return textOf(line);
  }
  return line.length === 0 ? undefined : textOf(line);
}

function textOf(line: ByteCollector): string {
  return Buffer.from(line.take()).toString("latin1").replace(/\r$/u, "");
}
