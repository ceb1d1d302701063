// An ECDSA signature in DER, as certificate requests have it.

const SEQUENCE = 0x30;
const INTEGER = 0x02;

/**
 * Pure. Ecdsa-Sig-Value (RFC 3279 section 2.2.3).
 * @param pair r and s, each in half of the bytes, of a curve of at most 256 bits, so that every
 *   length fits into one byte.
 */
export function derSignature(pair: Uint8Array): Uint8Array {
  const half = pair.length / 2;
  const body = [pair.subarray(0, half), pair.subarray(half)].flatMap((number) => {
    const first = number.findIndex((byte) => byte !== 0);
    const digits = first < 0 ? Uint8Array.of(0) : number.subarray(first);
    // A first bit of 1 would make the number negative. (X.690, clause 8.3)
    const content = (digits[0] ?? 0) >= 0x80 ? [0, ...digits] : [...digits];
    return [INTEGER, content.length, ...content];
  });
  return Uint8Array.of(SEQUENCE, body.length, ...body);
}
