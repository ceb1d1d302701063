// The key-exchange group of a TLS connection, on the server's side. Node reports it to clients
// only, but OpenSSL stores it in the session. [TUN-2]

/** IANA "TLS Supported Groups", those that OpenSSL 3.5 negotiates. */
const GROUPS: Readonly<Record<number, string>> = {
  0x0017: "prime256v1",
  0x0018: "secp384r1",
  0x0019: "secp521r1",
  0x001d: "X25519",
  0x001e: "X448",
  0x11eb: "SecP256r1MLKEM768",
  0x11ec: "X25519MLKEM768",
  0x11ed: "SecP384r1MLKEM1024",
};

const SEQUENCE = 0x30;
/** `kex_group [19] EXPLICIT` of OpenSSL's SSL_SESSION_ASN1 (ssl/ssl_asn1.c). */
const KEX_GROUP = 0xb3;

/**
 * @param session DER, from `TLSSocket.getSession()`.
 * @returns the group's name; its number in hex when it has no name here; or undefined when the
 *   session does not contain it (TLS 1.2, another OpenSSL).
 */
export function sessionGroup(session: Uint8Array | null | undefined): string | undefined {
  // Node returns null after the connection has ended.
  if (session === undefined || session === null) return undefined;
  const bytes = Buffer.from(session);
  const outer = element(bytes, 0);
  if (outer === undefined || outer.tag !== SEQUENCE) return undefined;
  for (let at = outer.start; at < outer.end;) {
    const part = element(bytes, at);
    if (part === undefined || part.end > outer.end) return undefined;
    if (part.tag === KEX_GROUP) {
      const number = element(bytes, part.start);
      if (number === undefined || number.end > part.end || number.end - number.start > 4) return undefined;
      const group = bytes.readUIntBE(number.start, number.end - number.start);
      return GROUPS[group] ?? `0x${group.toString(16).padStart(4, "0")}`;
    }
    at = part.end;
  }
  return undefined;
}

/** @returns tag and place of the content of the DER element at `at`. */
function element(bytes: Buffer, at: number): { readonly tag: number; readonly start: number; readonly end: number } | undefined {
  const tag = bytes[at];
  const first = bytes[at + 1];
  if (tag === undefined || first === undefined) return undefined;
  if (first < 0x80) return within(bytes, { tag, start: at + 2, end: at + 2 + first });
  const octets = first - 0x80;
  if (octets < 1 || octets > 4 || at + 2 + octets > bytes.byteLength) return undefined;
  const start = at + 2 + octets;
  return within(bytes, { tag, start, end: start + bytes.readUIntBE(at + 2, octets) });
}

function within<T extends { readonly start: number; readonly end: number }>(bytes: Buffer, part: T): T | undefined {
  return part.end > bytes.byteLength || part.end === part.start ? undefined : part;
}
