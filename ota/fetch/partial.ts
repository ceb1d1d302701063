// A file that has arrived in part. It is kept from one attempt to the next, so that only the rest
// is asked for again. [OTA-76]
import { ByteCollector } from "../../hal/format/collect.ts";

/**
 * Only for a file that is checked as a whole afterwards, by its hash: a repository may have changed
 * between two parts of it.
 */
export class PartialFile {
  #bytes = new ByteCollector();
  #validator: string | undefined;

  /** Bytes that have arrived. */
  get length(): number {
    return this.#bytes.length;
  }

  /** Strong entity tag of the answer that the bytes are from (RFC 9110 section 8.8.3). */
  get validator(): string | undefined {
    return this.#validator;
  }

  /** Begins anew, with the first bytes of another answer. */
  restart(validator: string | undefined): void {
    this.#bytes = new ByteCollector();
    this.#validator = validator;
  }

  add(piece: Uint8Array): void {
    this.#bytes.add(piece);
  }

  /** @returns the whole file, and is empty afterwards. */
  take(): Uint8Array {
    this.#validator = undefined;
    return this.#bytes.take();
  }
}
