// The source of a connection or a request, for shares and paces. Pure.

/**
 * What counts as one source: an IPv4 address, or an IPv6 network of 64 bits (RFC 4291 section
 * 2.5.4), because every host can use a whole one.
 */
export function sourceOf(address: string): string {
  const plain = (address.split("%")[0] ?? "").replace(/^::ffff:(?=\d+\.)/iu, "");
  if (!plain.includes(":")) return plain;
  const [head = [], tail = []] = plain.split("::").map((half) => half.split(":").filter((group) => group !== ""));
  const zeros = Array.from({ length: Math.max(0, 8 - head.length - tail.length) }, () => "0");
  const groups = plain.includes("::") ? [...head, ...zeros, ...tail] : head;
  return `${groups
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/u, "").toLowerCase())
    .join(":")}::/64`;
}
