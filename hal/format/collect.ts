// Bytes that come in pieces, collected in time and memory that depend on their number and not on
// how they were cut: a peer may send them one by one. [STA-31]
import { assert, type Fault } from "../fault.ts";

const CAPACITY_BYTES_MIN = 256;
/** A result that fills less of its memory than this is copied, so that the rest is given back. */
const FILLED_RATIO_MIN = 0.75;

/**
 * A list of pieces would cost more than a hundred bytes for each of them, and joining it again and
 * again would cost the square of their number. The caller bounds the length.
 */
export class ByteCollector {
  #bytes = new Uint8Array(0);
  #length = 0;

  /** How many bytes wait. */
  get length(): number {
    return this.#length;
  }

  /** Copies `piece`: its memory may be used again. */
  add(piece: Uint8Array): void {
    const length = this.#length + piece.byteLength;
    if (length > this.#bytes.byteLength) {
      const grown = new Uint8Array(Math.max(length, 2 * this.#bytes.byteLength, CAPACITY_BYTES_MIN));
      grown.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = grown;
    }
    this.#bytes.set(piece, this.#length);
    this.#length = length;
  }

  /** @returns what was collected and `last`; as {@link take}. */
  takeWith(last: Uint8Array): Uint8Array {
    this.add(last);
    return this.take();
  }

  /** @returns what was collected, and begins anew with other memory. */
  take(): Uint8Array {
    const bytes = this.#bytes.subarray(0, this.#length);
    const isFilled = this.#length >= FILLED_RATIO_MIN * this.#bytes.byteLength;
    this.#bytes = new Uint8Array(0);
    this.#length = 0;
    return isFilled ? bytes : bytes.slice();
  }
}

/**
 * The whole of a stream.
 * @param stream has no encoding set, so that its pieces are buffers; its type cannot say that.
 * @param tooLarge is thrown as soon as there are more than `bytesMax` bytes.
 * @throws what `stream` throws.
 */
export async function collectBytes(stream: AsyncIterable<unknown>, bytesMax: number, tooLarge: () => Fault): Promise<Uint8Array> {
  const collected = new ByteCollector();
  for await (const piece of stream) {
    assert(piece instanceof Uint8Array, "a stream without an encoding gives bytes");
    if (collected.length + piece.byteLength > bytesMax) throw tooLarge();
    collected.add(piece);
  }
  return collected.take();
}
