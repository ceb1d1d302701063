// The names of a repository's files, TUF sections 3 and 6.2 (consistent snapshots).

/**
 * The name of a metadata file. A role's name is percent-encoded as a whole, so that it cannot leave
 * its directory.
 */
export function metadataName(role: string, version: number | undefined): string {
  return `${version === undefined ? "" : `${version}.`}${percentEncoded(role)}.json`;
}

/** The name of a target file: `os/HASH.gateway-2.json` with consistent snapshots. */
export function targetName(path: string, hash: string | undefined): string {
  const slash = path.lastIndexOf("/") + 1;
  return hash === undefined ? path : `${path.slice(0, slash)}${hash}.${path.slice(slash)}`;
}

/**
 * RFC 3986 section 2.3: encodes all but the unreserved characters. encodeURIComponent leaves five
 * others as they are.
 */
function percentEncoded(text: string): string {
  return encodeURIComponent(text).replaceAll(/[!'()*]/gu, (sign) => `%${(sign.codePointAt(0) ?? 0).toString(16).toUpperCase()}`);
}
