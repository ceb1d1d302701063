// Times, sizes and counts as text for people. Pure, ASCII.

/** "42 s", "5 min", "3 h 12 min", "9 d 4 h": two units at most, rounded down. */
export function duration(seconds: number): string {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86_400) return two(s, 3600, "h", 60, "min");
  return two(s, 86_400, "d", 3600, "h");
}

function two(seconds: number, large: number, largeName: string, small: number, smallName: string): string {
  const rest = Math.floor((seconds % large) / small);
  return `${Math.floor(seconds / large)} ${largeName}${rest === 0 ? "" : ` ${rest} ${smallName}`}`;
}

/** "in 9 d 4 h" or "9 d 4 h ago", relative to `nowMs`. */
export function distance(unixMs: number, nowMs: number): string {
  return unixMs >= nowMs ? `in ${duration((unixMs - nowMs) / 1000)}` : `${duration((nowMs - unixMs) / 1000)} ago`;
}

/** "512 B", "3.4 kB", "58 MB": decimal units, with at least two significant digits above a byte. */
export function size(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit > 0 && value < 9.95 ? value.toFixed(1) : Math.round(value)} ${units[unit] ?? ""}`;
}

/** "2027-02-20 04:32 UTC" of an RFC 3339 time. */
export function minute(timestamp: string): string {
  return `${timestamp.slice(0, 10)} ${timestamp.slice(11, 16)} UTC`;
}

/** "1 message", "2 messages". */
export function counted(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`;
}
