// C2SP signed note and tlog-checkpoint (c2sp.org/signed-note, c2sp.org/tlog-checkpoint), and the
// cosignature of the witness (c2sp.org/tlog-cosignature). [AUD-6] [AUD-8]
import { createHash, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { Fault } from "../../../hal/fault.ts";
import { quoted } from "../../../hal/format/text.ts";
import type { Fingerprint } from "../../../hal/format/identity.ts";
import { HASH_BYTES } from "./tree.ts";

export const NOTE_BYTES_MAX = 8192;
/** Unknown signatures are ignored, but only up to this number. */
export const NOTE_SIGNATURES_MAX = 16;

const ED25519_KEY_BYTES = 32;
const ED25519_SIGNATURE_BYTES = 64;
/** c2sp.org/tlog-cosignature: `timestamped_signature`, eight bytes of time before the signature. */
const COSIGNATURE_BYTES = 8 + ED25519_SIGNATURE_BYTES;

/** Signature types of c2sp.org/signed-note: the byte hashed into the key id. */
const ED25519 = 0x01;
const COSIGNATURE_V1 = 0x04;

export type NoteKeyKind = "ed25519" | "cosignature/v1";

/**
 * A note key by its public half. The id is part of every signature line: it finds a key and proves
 * nothing.
 */
export interface Verifier {
  readonly name: string;
  readonly kind: NoteKeyKind;
  readonly id: Uint8Array;
  /** Raw Ed25519 public key, 32 bytes. */
  readonly publicKey: Uint8Array;
}

export interface NoteSignature {
  readonly name: string;
  readonly id: Uint8Array;
  readonly bytes: Uint8Array;
}

export interface Note {
  /** Signed text, ending in a newline. */
  readonly text: string;
  readonly signatures: readonly NoteSignature[];
}

export interface Checkpoint {
  /**
   * `sallyport/1/{deviceId}`: the log's name for the device's whole life, under any hub. [AUD-6]
   */
  readonly origin: string;
  readonly size: number;
  readonly root: Uint8Array;
}

export function checkpointOrigin(deviceId: string): string {
  return `sallyport/1/${deviceId}`;
}

// RFC 8410 section 4: the fixed header before the 32 bytes
const ED25519_SPKI_PREFIX = Buffer.from("302a300506032b6570032100", "hex");

export function ed25519KeyObject(raw: Uint8Array): KeyObject {
  if (raw.byteLength !== ED25519_KEY_BYTES)
    throw new Fault("note.invalid", `an Ed25519 public key has ${ED25519_KEY_BYTES} bytes, this one ${raw.byteLength}`);
  return createPublicKey({ key: Buffer.concat([ED25519_SPKI_PREFIX, raw]), format: "der", type: "spki" });
}

/** @throws Fault `note.invalid` for a key of another kind. */
export function ed25519Raw(publicKey: KeyObject): Uint8Array {
  if (publicKey.asymmetricKeyType !== "ed25519")
    throw new Fault("note.invalid", `expected an Ed25519 key, got ${publicKey.asymmetricKeyType ?? "a secret key"}`);
  return publicKey.export({ format: "der", type: "spki" }).subarray(ED25519_SPKI_PREFIX.byteLength);
}

/** Unicode spaces as signed-note means them: those of ECMAScript and NEL. */
const SPACE_OR_PLUS = /[\s\u0085+]/u;
/** No control character but the newline is allowed, so that what is shown is what was signed. */
const CONTROL_CHARACTER = /[\u0000-\u0009\u000b-\u001f]/u;

/**
 * @throws Fault `note.invalid` for a name with a space or a plus sign, or a key of another length.
 */
export function verifierOf(name: string, kind: NoteKeyKind, publicKey: Uint8Array): Verifier {
  if (name === "" || !name.isWellFormed() || SPACE_OR_PLUS.test(name) || CONTROL_CHARACTER.test(name))
    throw new Fault("note.invalid", `a note key's name has no space and no plus sign: ${quoted(name)}`);
  if (publicKey.byteLength !== ED25519_KEY_BYTES)
    throw new Fault(
      "note.invalid",
      `an Ed25519 public key has ${ED25519_KEY_BYTES} bytes, the one of ${quoted(name)} ${publicKey.byteLength}`,
    );
  const type = kind === "ed25519" ? ED25519 : COSIGNATURE_V1;
  const id = createHash("sha256").update(`${name}\n`).update(Uint8Array.of(type)).update(publicKey).digest().subarray(0, 4);
  return { name, kind, id, publicKey };
}

/**
 * [ID-5] [ID-26] The fingerprint of a verifier key, which an operator compares at approval: SHA-256
 * over the DER SubjectPublicKeyInfo of its public key.
 */
export function verifierFingerprint({ publicKey }: Pick<Verifier, "publicKey">): Fingerprint {
  return `sha256:${createHash("sha256").update(ED25519_SPKI_PREFIX).update(publicKey).digest("hex")}`;
}

/** `name+id+base64(type || key)`, c2sp.org/signed-note "Verifier keys". */
export function encodeVerifier(verifier: Verifier): string {
  const type = verifier.kind === "ed25519" ? ED25519 : COSIGNATURE_V1;
  return `${verifier.name}+${Buffer.from(verifier.id).toString("hex")}+${Buffer.from([type, ...verifier.publicKey]).toString("base64")}`;
}

/**
 * @throws Fault `note.invalid` for another syntax, an unknown type or an id that is not this key's.
 */
export function decodeVerifier(text: string): Verifier {
  const [name, id, key, ...rest] = splitVerifier(text);
  if (name === undefined || id === undefined || key === undefined || rest.length > 0)
    throw new Fault("note.invalid", `expected a verifier key "name+id+base64", got ${quoted(text)}`);
  const bytes = base64(key);
  const kind = bytes?.[0] === ED25519 ? "ed25519" : bytes?.[0] === COSIGNATURE_V1 ? "cosignature/v1" : undefined;
  if (bytes === undefined || kind === undefined)
    throw new Fault("note.invalid", `verifier key ${quoted(name)} is of an unknown kind`);
  const verifier = verifierOf(name, kind, bytes.subarray(1));
  if (Buffer.from(verifier.id).toString("hex") !== id)
    throw new Fault("note.invalid", `verifier key ${quoted(name)} has id ${quoted(id)}, its bytes give another`);
  return verifier;
}

/**
 * Strict: one spelling for each value. Node's own decoder skips characters that it does not know.
 */
function base64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, "base64");
  return bytes.toString("base64") === text ? bytes : undefined;
}

/** The first two plus signs are the separators; base64 contains further plus signs. */
function splitVerifier(text: string): string[] {
  const first = text.indexOf("+");
  const second = text.indexOf("+", first + 1);
  return first < 1 || second < 0 ? [] : [text.slice(0, first), text.slice(first + 1, second), text.slice(second + 1)];
}

export function encodeNote(note: Note): string {
  const lines = note.signatures.map(
    (signature) => `— ${signature.name} ${Buffer.concat([signature.id, signature.bytes]).toString("base64")}\n`,
  );
  return `${note.text}\n${lines.join("")}`;
}

/** @throws Fault `note.invalid`. Does not check the signatures: see {@link verifyNote}. */
export function decodeNote(encoded: string): Note {
  if (Buffer.byteLength(encoded) > NOTE_BYTES_MAX)
    throw new Fault("note.invalid", `a signed note has at most ${NOTE_BYTES_MAX} bytes`);
  const blank = encoded.lastIndexOf("\n\n");
  if (blank < 1 || !encoded.endsWith("\n"))
    throw new Fault("note.invalid", "a signed note is a text, a blank line and signature lines");
  if (CONTROL_CHARACTER.test(encoded)) throw new Fault("note.invalid", "a signed note has no control characters");
  if (!encoded.isWellFormed()) throw new Fault("note.invalid", "a signed note is valid UTF-8");
  const lines = encoded.slice(blank + 2, -1).split("\n");
  if (lines.length > NOTE_SIGNATURES_MAX)
    throw new Fault("note.invalid", `a signed note has at most ${NOTE_SIGNATURES_MAX} signatures`);
  return { text: encoded.slice(0, blank + 1), signatures: lines.map((line) => decodeSignature(line)) };
}

function decodeSignature(line: string): NoteSignature {
  const match = /^— ([^\s\u0085+]+) ([A-Za-z0-9+/]+={0,2})$/u.exec(line);
  const bytes = base64(match?.[2] ?? "");
  const name = match?.[1];
  if (name === undefined || bytes === undefined || bytes.byteLength < 5)
    throw new Fault("note.invalid", "a signature line of a signed note is malformed");
  return { name, id: bytes.subarray(0, 4), bytes: bytes.subarray(4) };
}

/** Signs with a plain Ed25519 note key. */
export function signNote(text: string, signer: { readonly verifier: Verifier; readonly privateKey: KeyObject }): NoteSignature {
  const { name, id } = signer.verifier;
  return { name, id, bytes: sign(null, Buffer.from(text), signer.privateKey) };
}

/**
 * Checks that `verifier` signed the note. Signatures of other keys are not checked.
 * @returns the cosignature's time in Unix seconds for a `cosignature/v1` key, otherwise undefined.
 * @throws Fault `note.bad-signature` when its signature is missing or wrong.
 */
export function verifyNote(note: Note, verifier: Verifier): number | undefined {
  const found = note.signatures.find(
    (signature) => signature.name === verifier.name && Buffer.from(signature.id).equals(verifier.id),
  );
  if (found === undefined) throw new Fault("note.bad-signature", `the note has no signature of "${verifier.name}"`);
  const key = ed25519KeyObject(verifier.publicKey);
  if (verifier.kind === "ed25519") {
    if (found.bytes.byteLength !== ED25519_SIGNATURE_BYTES || !verify(null, Buffer.from(note.text), key, found.bytes))
      throw new Fault("note.bad-signature", `the signature of "${verifier.name}" is wrong`);
    return undefined;
  }
  const unixSeconds =
    found.bytes.byteLength === COSIGNATURE_BYTES ? Number(Buffer.from(found.bytes).readBigUInt64BE(0)) : Number.NaN;
  if (!Number.isSafeInteger(unixSeconds) || !verify(null, cosignedText(note.text, unixSeconds), key, found.bytes.subarray(8)))
    throw new Fault("note.bad-signature", `the cosignature of "${verifier.name}" is wrong`);
  return unixSeconds;
}

/** A witness's cosignature over a checkpoint, c2sp.org/tlog-cosignature. */
export function cosign(
  text: string,
  unixSeconds: number,
  signer: { readonly verifier: Verifier; readonly privateKey: KeyObject },
): NoteSignature {
  const time = Buffer.alloc(8);
  time.writeBigUInt64BE(BigInt(unixSeconds));
  const { name, id } = signer.verifier;
  return { name, id, bytes: Buffer.concat([time, sign(null, cosignedText(text, unixSeconds), signer.privateKey)]) };
}

function cosignedText(text: string, unixSeconds: number): Uint8Array {
  return Buffer.from(`cosignature/v1\ntime ${unixSeconds}\n${text}`);
}

export function encodeCheckpoint(checkpoint: Checkpoint): string {
  return `${checkpoint.origin}\n${checkpoint.size}\n${Buffer.from(checkpoint.root).toString("base64")}\n`;
}

/**
 * @throws Fault `note.invalid` for another syntax, a leading zero or a root of another length.
 *   Extension lines are refused, because we write none.
 */
export function decodeCheckpoint(text: string): Checkpoint {
  const [origin, size, root, end, ...rest] = text.split("\n");
  const hash = Buffer.from(root ?? "", "base64");
  if (
    origin === undefined ||
    origin === "" ||
    size === undefined ||
    !/^(0|[1-9][0-9]{0,15})$/u.test(size) ||
    hash.byteLength !== HASH_BYTES ||
    hash.toString("base64") !== root ||
    end !== "" ||
    rest.length > 0
  ) {
    throw new Fault("note.invalid", "a checkpoint is an origin, a size and a base64 root, one line each");
  }
  if (!Number.isSafeInteger(Number(size))) throw new Fault("note.invalid", `checkpoint size ${size} is above 2^53 - 1`);
  return { origin, size: Number(size), root: hash };
}
