// The TPM's byte order: big-endian integers, and buffers with a size in front (TPM 2.0 Library
// Part 2, table 80, TPM2B). Everything is bounded: by what is left of a response when it is read,
// and by the largest command when it is written.
import { assert, Fault } from "../../fault.ts";

/** The largest command or response: the buffer of the kernel's /dev/tpmrm0 (TPM_BUFSIZE). */
export const MESSAGE_BYTES_MAX = 4096;

/** UINT8. (Part 2, table 3) */
export function u8(value: number): Uint8Array {
  assert(Number.isInteger(value) && value >= 0 && value <= 0xff, `${value} is a UINT8`);
  return Uint8Array.of(value);
}

/** UINT16. (Part 2, table 3) */
export function u16(value: number): Uint8Array {
  assert(Number.isInteger(value) && value >= 0 && value <= 0xffff, `${value} is a UINT16`);
  return Uint8Array.of(value >>> 8, value & 0xff);
}

/** UINT32. (Part 2, table 3) */
export function u32(value: number): Uint8Array {
  assert(Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff, `${value} is a UINT32`);
  return Uint8Array.of(value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff);
}

/** TPM2B: the size in 16 bits, then the bytes. (Part 2, table 80) */
export function sized(bytes: Uint8Array): Uint8Array {
  return join(u16(bytes.length), bytes);
}

/**
 * The parts one after the other.
 * @throws Fault `tpm.invalid` above {@link MESSAGE_BYTES_MAX}: no command can carry it.
 */
export function join(...parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  if (length > MESSAGE_BYTES_MAX)
    throw new Fault("tpm.invalid", `a TPM command of ${length} bytes: at most ${MESSAGE_BYTES_MAX} are possible; ask for less`);
  const joined = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/**
 * Reads what a TPM, or a file that claims to be from one, sent. Each read checks what is left first
 * and throws Fault `tpm.protocol` when it is too little, so nothing is allocated for a size that
 * the input only claims.
 */
export class WireReader {
  readonly #bytes: Uint8Array;
  readonly #what: string;
  #at = 0;

  /** @param what names the input in faults, such as `the response to TPM2_Sign`. */
  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = bytes;
    this.#what = what;
  }

  /** Bytes that are left. */
  get left(): number {
    return this.#bytes.length - this.#at;
  }

  /** @returns a copy of the next `count` bytes. */
  bytes(count: number): Uint8Array {
    if (count > this.left) throw this.wrong(`${count} bytes at offset ${this.#at}, and ${this.left} are left`);
    const from = this.#at;
    this.#at += count;
    return this.#bytes.slice(from, this.#at);
  }

  u8(): number {
    return this.bytes(1)[0] ?? 0;
  }

  u16(): number {
    return this.u8() * 0x100 + this.u8();
  }

  u32(): number {
    return this.u16() * 0x1_0000 + this.u16();
  }

  u64(): bigint {
    return BigInt(this.u32()) * 0x1_0000_0000n + BigInt(this.u32());
  }

  /** TPM2B. (Part 2, table 80) */
  sized(): Uint8Array {
    return this.bytes(this.u16());
  }

  /** A TPM2B whose content is a structure: `read` must use all of it. */
  within<T>(read: (reader: WireReader) => T): T {
    const inner = new WireReader(this.sized(), this.#what);
    const value = read(inner);
    inner.end();
    return value;
  }

  /**
   * TPML: a count in 32 bits, then the items. (Part 2)
   * @param itemBytesMin of the smallest item, so that a false count is refused before the loop.
   */
  list<T>(itemBytesMin: number, read: (reader: WireReader) => T): readonly T[] {
    const count = this.u32();
    if (count * itemBytesMin > this.left) throw this.wrong(`a list of ${count} items, and ${this.left} bytes are left`);
    return Array.from({ length: count }, () => read(this));
  }

  /** All that is left. */
  rest(): Uint8Array {
    return this.bytes(this.left);
  }

  /** @throws Fault `tpm.protocol` when something is left. */
  end(): void {
    if (this.left > 0) throw this.wrong(`${this.left} bytes too many`);
  }

  /** The fault for a value that does not fit. */
  wrong(found: string): Fault {
    return new Fault("tpm.protocol", `${this.#what} is malformed: it has ${found}`);
  }
}
