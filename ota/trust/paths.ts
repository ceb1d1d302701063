// Which targets a delegation covers, TUF section 4.5.
import { createHash } from "node:crypto";
import type { Delegation } from "./format/metadata.ts";

/** [OTA-10] True when the delegation's path patterns, or its hash prefixes, cover `path`. */
export function covers({ paths, path_hash_prefixes }: Delegation, path: string): boolean {
  if (paths?.some((pattern) => matchesPattern(pattern, path)) === true) return true;
  if (path_hash_prefixes === undefined) return false;
  const hash = createHash("sha256").update(path).digest("hex");
  return path_hash_prefixes.some((prefix) => hash.startsWith(prefix));
}

/**
 * PATHPATTERN: `*` and `?` as in a shell; neither matches a slash. It works with two indexes
 * instead of a regular expression, so that its work is bounded by the product of the lengths for
 * any pattern.
 */
export function matchesPattern(pattern: string, path: string): boolean {
  let at = 0;
  let star = -1;
  let retry = 0;
  let from = 0;
  while (from < path.length) {
    const sign = pattern[at];
    const one = path[from];
    if (sign === "*") {
      star = at;
      retry = from;
      at += 1;
    } else if (sign !== undefined && (sign === one || (sign === "?" && one !== "/"))) {
      at += 1;
      from += 1;
    } else if (star >= 0 && path[retry] !== "/") {
      retry += 1; // the last star takes one more character
      from = retry;
      at = star + 1;
    } else {
      return false;
    }
  }
  return /^\**$/u.test(pattern.slice(at));
}
