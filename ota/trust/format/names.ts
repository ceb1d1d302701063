// What files of a repository are called, TUF sections 3 and 6.2 (consistent snapshots).

/** A metadata file as it is fetched. A role's name is percent-encoded as a whole: it cannot leave its directory. */
export function metadataName(role: string, version: number | undefined): string {
  return `${version === undefined ? "" : `${version}.`}${percentEncoded(role)}.json`;
}

/** A target as it is fetched: `os/HASH.gateway-2.json` where snapshots are consistent. */
export function targetName(path: string, hash: string | undefined): string {
  const slash = path.lastIndexOf("/") + 1;
  return hash === undefined ? path : `${path.slice(0, slash)}${hash}.${path.slice(slash)}`;
}

/** RFC 3986 section 2.3: all but the unreserved characters; encodeURIComponent lets five more pass. */
function percentEncoded(text: string): string {
  return encodeURIComponent(text).replaceAll(/[!'()*]/gu, (sign) => `%${(sign.codePointAt(0) ?? 0).toString(16).toUpperCase()}`);
}
