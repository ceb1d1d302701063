// IPv4 and IPv6 addresses and prefixes in the one spelling in which the kernel lists them, so that
// text can be compared. [LCK-1] [LCK-5]

export interface Prefix {
  readonly family: 4 | 6;
  /** 4 or 16. */
  readonly bytes: readonly number[];
  /** Number of leading bits that count. All others are zero. */
  readonly length: number;
}

/**
 * Parses `192.0.2.1`, `192.0.2.0/24`, `2001:db8::1`, `2001:db8::/32`. IPv6 follows RFC 5952. There
 * is no `/32` or `/128` after an address, no bit set behind the prefix, and no prefix of length 0
 * (that is "any"). IPv6 addresses below 0:0:0:0:0:1:: (v4-mapped, loopback) are refused, because no
 * peer has one.
 * @returns undefined for any other spelling.
 */
export function parsePrefix(text: string): Prefix | undefined {
  const [address = "", tail, ...rest] = text.split("/");
  const family = address.includes(":") ? 6 : 4;
  const bytes = family === 4 ? parseIpv4(address) : parseIpv6(address);
  const bits = family === 4 ? 32 : 128;
  const length = tail === undefined ? bits : /^[1-9]\d{0,2}$/u.test(tail) ? Number(tail) : 0;
  if (bytes === undefined || rest.length > 0 || length < 1 || length > bits) return undefined;
  if (family === 6 && bytes.slice(0, 10).every((byte) => byte === 0)) return undefined;
  const prefix: Prefix = { family, bytes, length };
  return bytes.every((byte, i) => (byte & maskByte(length, i)) === byte) && formatPrefix(prefix) === text ? prefix : undefined;
}

export function formatPrefix({ family, bytes, length }: Prefix): string {
  const address = family === 4 ? bytes.join(".") : formatIpv6(bytes);
  return length === bytes.length * 8 ? address : `${address}/${length}`;
}

/** True when every address of `inner` belongs to `outer`. */
export function contains(outer: Prefix, inner: Prefix): boolean {
  return (
    outer.family === inner.family &&
    outer.length <= inner.length &&
    outer.bytes.every((byte, i) => byte === ((inner.bytes[i] ?? 0) & maskByte(outer.length, i)))
  );
}

/** The bits of byte `i` that a prefix of `length` bits covers. */
function maskByte(length: number, i: number): number {
  const bits = Math.min(Math.max(length - 8 * i, 0), 8);
  return (0xff << (8 - bits)) & 0xff;
}

/** @returns the bytes; undefined for any other text. */
export function parseIpv4(text: string): readonly number[] | undefined {
  if (!/^(?:(?:0|[1-9]\d{0,2})(?:\.(?=\d)|$)){4}$/u.test(text)) return undefined;
  const bytes = text.split(".").map(Number);
  return bytes.every((byte) => byte <= 255) ? bytes : undefined;
}

/** @returns the bytes; undefined for any other text, also with an IPv4 address at its end. */
export function parseIpv6(text: string): readonly number[] | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [head = [], tail = []] = halves.map((half) => (half === "" ? [] : half.split(":")));
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  const groups = [...head, ...Array.from({ length: missing }, () => "0"), ...tail];
  if (!groups.every((group) => /^[0-9a-f]{1,4}$/u.test(group))) return undefined;
  return groups.flatMap((group) => {
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}

/**
 * RFC 5952 section 4: no leading zeros, the first longest run of two or more zero groups as `::`,
 * lower case.
 */
function formatIpv6(bytes: readonly number[]): string {
  const groups = Array.from({ length: 8 }, (_, i) => (bytes[2 * i] ?? 0) * 256 + (bytes[2 * i + 1] ?? 0));
  const run = longestZeroRun(groups);
  const words = groups.map((group) => group.toString(16));
  if (run.length < 2) return words.join(":");
  return `${words.slice(0, run.start).join(":")}::${words.slice(run.start + run.length).join(":")}`;
}

function longestZeroRun(groups: readonly number[]): { readonly start: number; readonly length: number } {
  let best = { start: 0, length: 0 };
  let start = 0;
  groups.forEach((group, i) => {
    if (group !== 0) start = i + 1;
    else if (i + 1 - start > best.length) best = { start, length: i + 1 - start };
  });
  return best;
}
