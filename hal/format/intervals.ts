// Sets of ports and of addresses by what they contain: two spellings of one set become one text.
// The kernel and nft join neighbours, and list a prefix as a range or the other way round. [LCK-60]
import { formatPrefix, parseIpv4, parseIpv6 } from "./address.ts";

/** Numbers, IPv4 or IPv6 addresses. */
type Kind = 0 | 4 | 6;

interface Interval {
  readonly kind: Kind;
  readonly first: bigint;
  readonly last: bigint;
}

/**
 * @param elements numbers, addresses, prefixes, and ranges of numbers or addresses, as nft writes
 *   them. Any other text is kept as it is.
 * @returns the same set with the fewest elements, sorted as text.
 */
export function mergeIntervals(elements: readonly string[]): string[] {
  const intervals = elements.map((text) => ({ text, interval: parseInterval(text) }));
  const others = intervals.filter(({ interval }) => interval === undefined).map(({ text }) => text);
  const merged = mergeSorted(intervals.flatMap(({ interval }) => interval ?? []).sort(byPlace));
  return [...new Set([...others, ...merged.map((one) => formatInterval(one))])].sort();
}

function byPlace(a: Interval, b: Interval): number {
  return a.kind - b.kind || (a.first < b.first ? -1 : a.first > b.first ? 1 : 0);
}

function mergeSorted(sorted: readonly Interval[]): readonly Interval[] {
  const merged: Interval[] = [];
  for (const one of sorted) {
    const before = merged.at(-1);
    if (before === undefined || before.kind !== one.kind || one.first > before.last + 1n) merged.push(one);
    else if (one.last > before.last) merged[merged.length - 1] = { ...before, last: one.last };
  }
  return merged;
}

function parseInterval(text: string): Interval | undefined {
  const [address = "", length, ...more] = text.split("/");
  if (more.length > 0) return undefined;
  if (length !== undefined) return prefixOf(address, length);
  const [from = "", to = from, ...rest] = text.split("-");
  const [first, last] = [parsePlace(from), parsePlace(to)];
  if (first === undefined || last === undefined || rest.length > 0) return undefined;
  return first.kind === last.kind && first.at <= last.at ? { kind: first.kind, first: first.at, last: last.at } : undefined;
}

function prefixOf(address: string, length: string): Interval | undefined {
  const place = parsePlace(address);
  if (place === undefined || place.kind === 0 || !/^\d{1,3}$/u.test(length)) return undefined;
  const free = BigInt(bitsOf(place.kind) - Number(length));
  if (free < 0n) return undefined;
  const first = (place.at >> free) << free;
  return { kind: place.kind, first, last: first + (1n << free) - 1n };
}

function bitsOf(kind: Kind): number {
  return kind === 4 ? 32 : 128;
}

function parsePlace(text: string): { readonly kind: Kind; readonly at: bigint } | undefined {
  if (/^\d{1,10}$/u.test(text)) return { kind: 0, at: BigInt(text) };
  const kind = text.includes(":") ? 6 : 4;
  const bytes = kind === 6 ? parseIpv6(text) : parseIpv4(text);
  return bytes === undefined ? undefined : { kind, at: bytes.reduce((at, byte) => (at << 8n) | BigInt(byte), 0n) };
}

function formatInterval({ kind, first, last }: Interval): string {
  if (first === last) return formatPlace(kind, first);
  const size = last - first + 1n;
  const isPrefix = kind !== 0 && (size & (size - 1n)) === 0n && first % size === 0n;
  if (!isPrefix) return `${formatPlace(kind, first)}-${formatPlace(kind, last)}`;
  return `${formatPlace(kind, first)}/${bitsOf(kind) - (size.toString(2).length - 1)}`;
}

function formatPlace(kind: Kind, at: bigint): string {
  if (kind === 0) return String(at);
  const length = bitsOf(kind);
  const bytes = Array.from({ length: length / 8 }, (_, i) => Number((at >> BigInt(length - 8 - 8 * i)) & 0xffn));
  return formatPrefix({ family: kind, bytes, length });
}
