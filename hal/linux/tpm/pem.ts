// A key or sealed data as a file: "TSS2 PRIVATE KEY" PEM, the ASN.1 of draft-bottomley-tpm2-keys,
// which OpenSSL's tpm2 provider reads and writes for keys.
import { Fault } from "../../fault.ts";
import { HANDLE } from "./constants.ts";
import type { KeyBlob } from "./objects.ts";
import { readSizedPublic, writeSizedPublic } from "./structures.ts";
import { join, sized, u32, u8, WireReader } from "./wire.ts";

/** A key and the parent that loads it. */
export interface Tss2Key extends KeyBlob {
  /** A persistent handle, or a hierarchy whose primary storage key is the parent. */
  readonly parent: number;
  /** Whether it has no password; a reader asks for one otherwise. */
  readonly hasNoPassword: boolean;
}

const BEGIN = "-----BEGIN TSS2 PRIVATE KEY-----";
const END = "-----END TSS2 PRIVATE KEY-----";
const PEM_CHARACTERS_MAX = 8192;
const LINE_CHARACTERS = 64;

const DER = {
  boolean: 0x01,
  integer: 0x02,
  octets: 0x04,
  oid: 0x06,
  sequence: 0x30,
  emptyAuth: 0xa0,
  description: 0xa4,
} as const;

/** 2.23.133.10.1.3, id-loadablekey, and 2.23.133.10.1.5, id-sealedkey. (Clause 3.1.1) */
const KINDS = {
  loadable: Uint8Array.of(0x67, 0x81, 0x05, 0x0a, 0x01, 0x03),
  sealed: Uint8Array.of(0x67, 0x81, 0x05, 0x0a, 0x01, 0x05),
} as const;

/** What the file has: a key that the TPM uses, or data that it gives back. */
export type Tss2Kind = keyof typeof KINDS;

/** The TPMKey structure as PEM. (Clause 3.1) */
export function writeTss2Pem({ area, privateBlob, parent, hasNoPassword }: Tss2Key, kind: Tss2Kind = "loadable"): string {
  const number = u32(parent);
  const body = join(
    tlv(DER.oid, KINDS[kind]),
    hasNoPassword ? tlv(DER.emptyAuth, tlv(DER.boolean, u8(0xff))) : new Uint8Array(),
    tlv(DER.integer, (number[0] ?? 0) >= 0x80 ? join(u8(0), number) : shortest(number)),
    tlv(DER.octets, writeSizedPublic(area)),
    tlv(DER.octets, sized(privateBlob)),
  );
  const text = Buffer.from(tlv(DER.sequence, body)).toString("base64");
  const lines = Array.from({ length: Math.ceil(text.length / LINE_CHARACTERS) }, (_, line) =>
    text.slice(line * LINE_CHARACTERS, (line + 1) * LINE_CHARACTERS),
  );
  return [BEGIN, ...lines, END, ""].join("\n");
}

/** DER has no zeros in front of a positive INTEGER. (X.690, clause 8.3.2) */
function shortest(number: Uint8Array): Uint8Array {
  const first = number.findIndex((byte) => byte !== 0);
  if (first < 0) return u8(0);
  return (number[first] ?? 0) >= 0x80 ? join(u8(0), number.subarray(first)) : number.subarray(first);
}

function tlv(tag: number, content: Uint8Array): Uint8Array {
  const { length } = content;
  if (length < 0x80) return join(u8(tag), u8(length), content);
  if (length < 0x100) return join(u8(tag), u8(0x81), u8(length), content);
  return join(u8(tag), u8(0x82), u8(length >>> 8), u8(length & 0xff), content);
}

/**
 * @throws Fault `tpm.protocol` for what is no TSS2 key; `tpm.invalid` for one of another kind, or
 *   with a policy, an import secret or an RSA primary as parent, which this layer does not load.
 */
export function readTss2Pem(pem: string, kind: Tss2Kind = "loadable"): Tss2Key {
  const reader = new WireReader(derOf(pem), "a TSS2 key");
  const body = new WireReader(element(reader, DER.sequence), "a TSS2 key");
  reader.end();
  if (!Buffer.from(element(body, DER.oid)).equals(KINDS[kind]))
    throw new Fault("tpm.invalid", `a TSS2 file has no ${kind} key; use the file that belongs here`);
  let hasNoPassword = false;
  let [tag, content] = next(body);
  for (; (tag & 0xe0) === 0xa0; [tag, content] = next(body)) {
    if (tag === DER.emptyAuth) hasNoPassword = isTrue(content);
    else if (tag !== DER.description)
      throw new Fault("tpm.invalid", `a TSS2 key has the option [${tag & 0x1f}] (a policy, say), which is not supported`);
  }
  if (tag !== DER.integer) throw body.wrong(`tag ${tag} where its parent belongs`);
  const parent = unsigned(body, content);
  const area = whole(element(body, DER.octets), readSizedPublic);
  const privateBlob = whole(element(body, DER.octets), (blob) => blob.sized());
  body.end();
  return { area, privateBlob, parent, hasNoPassword };
}

function derOf(pem: string): Uint8Array {
  const wrong = (why: string): Fault => new Fault("tpm.protocol", `a TSS2 key is malformed: ${why}; put the file back`);
  if (pem.length > PEM_CHARACTERS_MAX) throw wrong(`it has more than ${PEM_CHARACTERS_MAX} characters`);
  const lines = pem.split(/\r?\n/u).map((line) => line.trim());
  const [begin, end] = [lines.indexOf(BEGIN), lines.indexOf(END)];
  if (begin < 0 || end < begin) throw wrong(`it has no lines "${BEGIN}" and "${END}"`);
  const text = lines.slice(begin + 1, end).join("");
  if (!/^[A-Za-z0-9+/]+={0,2}$/u.test(text)) throw wrong("it is no base64");
  return new Uint8Array(Buffer.from(text, "base64"));
}

function next(reader: WireReader): readonly [number, Uint8Array] {
  const tag = reader.u8();
  const first = reader.u8();
  if (first < 0x80) return [tag, reader.bytes(first)];
  if (first === 0x81) return [tag, reader.bytes(reader.u8())];
  if (first === 0x82) return [tag, reader.bytes(reader.u16())];
  throw reader.wrong(`a length that starts with ${first}`);
}

function element(reader: WireReader, wanted: number): Uint8Array {
  const [tag, content] = next(reader);
  if (tag !== wanted) throw reader.wrong(`tag ${tag} where ${wanted} belongs`);
  return content;
}

function whole<T>(bytes: Uint8Array, read: (reader: WireReader) => T): T {
  const reader = new WireReader(bytes, "a TSS2 key");
  const value = read(reader);
  reader.end();
  return value;
}

function isTrue(content: Uint8Array): boolean {
  return whole(content, (reader) => element(reader, DER.boolean))[0] !== 0;
}

/** Some writers leave out the zero in front of a persistent handle, so a sign is not looked at. */
function unsigned(reader: WireReader, content: Uint8Array): number {
  const digits = content[0] === 0 ? content.subarray(1) : content;
  if (content.length === 0 || digits.length > 4) throw reader.wrong(`a parent of ${content.length} bytes`);
  const parent = digits.reduce((sum, byte) => sum * 0x100 + byte, 0);
  return parent === 0 ? HANDLE.owner : parent;
}
