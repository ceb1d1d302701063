// A search for private keys in arbitrary bytes: what looks like the beginning of a key goes to the
// parser, and what the parser accepts is one.
import { createPrivateKey, type KeyObject } from "node:crypto";
import { open } from "node:fs/promises";
import { parseJson } from "../../../hal/format/json.ts";

export interface FoundKey {
  /** The offset of its first byte. */
  readonly offset: number;
  /** `base64`: DER as text, also the inside of a PEM. `jwk`: RFC 7517. */
  readonly form: "pem" | "der" | "base64" | "jwk";
  /**
   * The name that Node uses, for instance `ec` or `ed25519`. `tss2`: valid only in the TPM that
   * made it. `unreadable`: a PEM that is encrypted, broken or cut short.
   */
  readonly kind: string;
}

/** Read at once. */
const PIECE_BYTES = 4 * 1024 * 1024;
/** More than the longest key, RSA of 16384 bits as base64 in lines. */
const KEY_BYTES_MAX = 32 * 1024;

/**
 * Reads a file in pieces and finds each contiguous private key: PEM; or PKCS#8 (RFC 5958), SEC1
 * (RFC 5915, with a named curve) and PKCS#1 (RFC 8017) as DER or as base64, in lines or not; or JWK
 * (RFC 7517). A key within another is found too: the DER of a PEM, the PKCS#1 of a PKCS#8.
 * Compressed or encrypted keys are not found.
 */
export async function privateKeysIn(file: string, pieceBytes: number = PIECE_BYTES): Promise<readonly FoundKey[]> {
  const found: FoundKey[] = [];
  await using handle = await open(file, "r");
  const { size } = await handle.stat();
  const piece = Buffer.alloc(pieceBytes + KEY_BYTES_MAX);
  const nothing = Buffer.alloc(piece.length);
  for (let start = 0; start < size; start += pieceBytes) {
    const { bytesRead } = await handle.read(piece, 0, piece.length, start);
    // Most of a sparse disk.
    if (piece.compare(nothing, 0, bytesRead, 0, bytesRead) === 0) continue;
    for (const key of keysIn(piece.subarray(0, bytesRead)))
      if (key.offset < pieceBytes) found.push({ ...key, offset: start + key.offset });
  }
  return found;
}

function keysIn(bytes: Buffer): readonly FoundKey[] {
  const text = bytes.toString("latin1");
  const finds: FoundKey[] = [];
  const add = (form: FoundKey["form"], offset: number, kind: string | undefined): void => {
    if (kind !== undefined) finds.push({ offset, form, kind });
  };
  for (const { index } of text.matchAll(PEM_BEGINS)) add("pem", index, pemKind(text.slice(index, index + KEY_BYTES_MAX)));
  for (const { index } of text.matchAll(DER_BEGINS)) add("der", index, derKind(bytes.subarray(index)));
  for (const { index } of text.matchAll(BASE64_BEGINS))
    add("base64", index, derKind(fromBase64(text.slice(index, index + KEY_BYTES_MAX))));
  for (const { index } of text.matchAll(JWK_MEMBER)) {
    const begins = text.lastIndexOf("{", index);
    if (begins !== -1 && index - begins < KEY_BYTES_MAX) add("jwk", begins, jwkKind(text.slice(begins, begins + KEY_BYTES_MAX)));
  }
  return finds;
}

const PEM_BEGINS = /-----BEGIN [A-Z0-9 ]{0,32}PRIVATE KEY-----/gu;
const PEM = /^-----BEGIN ([A-Z0-9 ]*)PRIVATE KEY-----\r?\n[\s\S]*?\r?\n-----END \1PRIVATE KEY-----/u;

function pemKind(text: string): string {
  const [pem, label] = PEM.exec(text) ?? [];
  if (label === "TSS2 ") return "tss2";
  return (pem === undefined ? undefined : kindOf(() => createPrivateKey(pem))) ?? "unreadable";
}

// SEQUENCE { INTEGER version, then
//   PKCS#8: version 0 or 1, SEQUENCE: 02 01 00 30 or 02 01 01 30
//   SEC1: version 1, OCTET STRING: 02 01 01 04
//   PKCS#1: version 0, INTEGER: 02 01 00 02; never short
// By look-ahead, so that a false beginning cannot hide a key that begins within it.
/** With lengths up to 127, 255 and 65535. */
const DER_BEGINS = /\x30(?=(?:[\x00-\x7F]|\x81[\x80-\xFF]|\x82[\x01-\xFF][\s\S])\x02\x01(?:[\x00\x01]\x30|\x01\x04|\x00\x02))/gu;
/** The same four beginnings as base64 letters of six bits. Lines of a text in lines are longer. */
const BASE64_BEGINS = new RegExp(
  `M(?=${[
    "[A-H][AEIMQUYcgkosw048]C(?:AQ[AE]w|AQEE)",
    "I[GH][A-Za-z0-9+/_-]Ag(?:E[AB]M|EBB)",
    "I[I-L][A-Za-z0-9+/_-]{2}[AQgw]I(?:BAD|BAT|BAQ|BAA[I-L])",
  ].join("|")})`,
  "gu",
);
const DER_TYPES = ["pkcs8", "sec1", "pkcs1"] as const;

/** @param bytes from the beginning of a SEQUENCE on; what follows it does not matter. */
function derKind(bytes: Buffer): string | undefined {
  const key = bytes.subarray(0, derBytes(bytes));
  for (const type of DER_TYPES) {
    const kind = kindOf(() => createPrivateKey({ key, format: "der", type }));
    if (kind !== undefined) return kind;
  }
  return undefined;
}

/** X.690 8.1.3: the length of the first element, given in one or two bytes after the first. */
function derBytes([, first = 0, second = 0, third = 0]: Buffer): number {
  if (first < 0x80) return 2 + first;
  return first === 0x81 ? 3 + second : 4 + second * 256 + third;
}

/**
 * In lines or in one, also with `\n` escaped as in JSON. What follows the last letter is left out.
 */
function fromBase64(text: string): Buffer {
  const [letters = ""] = /^[A-Za-z0-9+/_-]*/u.exec(text.replaceAll(/\\[nr]|\s/gu, "")) ?? [];
  return Buffer.from(letters, "base64");
}

/**
 * The member that only a private key of an elliptic curve or of RSA has. Its quotes may be escaped,
 * as in JSON within JSON.
 */
const JWK_MEMBER = /\\{0,3}"d\\{0,3}"\s{0,8}:\s{0,8}\\{0,3}"[A-Za-z0-9_-]/gu;
const JWK = /^\{[^{}]*\}/u;

function jwkKind(text: string): string | undefined {
  const [object = ""] = JWK.exec(text) ?? [];
  return kindOf(() => createPrivateKey({ key: fieldsOf(object), format: "jwk" }));
}

function fieldsOf(object: string): Record<string, string> {
  const value = parseJson(object.replaceAll("\\", ""), KEY_BYTES_MAX, "JWK");
  return Object.fromEntries(
    Object.entries(value ?? {}).filter((field): field is [string, string] => typeof field[1] === "string"),
  );
}

/** The parser throws for everything that is no key, in more ways than it documents. */
function kindOf(parse: () => KeyObject): string | undefined {
  try {
    return parse().asymmetricKeyType;
  } catch {
    return undefined;
  }
}
