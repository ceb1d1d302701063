// Signed notes, checkpoints and cosignatures against the examples of the specifications, our own
// vectors, and openssl as another verifier.
import { createPrivateKey, generateKeyPairSync } from "node:crypto";
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "tap";
import {
  cosign,
  decodeCheckpoint,
  decodeNote,
  decodeVerifier,
  ed25519Raw,
  encodeCheckpoint,
  encodeNote,
  encodeVerifier,
  leafHash,
  NOTE_BYTES_MAX,
  NOTE_SIGNATURES_MAX,
  rootOf,
  signNote,
  type Verifier,
  verifierOf,
  verifyNote,
} from "../../../../warden/audit/format/index.ts";
import { needs } from "../../../lab/runner/needs.ts";
import { checkpointVectors, noteVectors } from "../../../lab/runner/audit-vectors.ts";

const vectorFile = (name: string): string => readFileSync(new URL(`../../../vectors/audit/${name}`, import.meta.url), "utf8");
const c2sp = noteVectors(vectorFile("c2sp-notes.json"));
const ours = checkpointVectors(vectorFile("checkpoint.json"));

function key(name: string, kind: Verifier["kind"] = "ed25519") {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  return { privateKey, verifier: verifierOf(name, kind, ed25519Raw(publicKey)) };
}

test("the example of c2sp.org/signed-note verifies, and is encoded again byte for byte", async (t) => {
  const verifier = decodeVerifier(c2sp.verified.verifier);
  const note = decodeNote(c2sp.verified.note);
  t.equal(note.text, c2sp.verified.text);
  t.equal(verifyNote(note, verifier), undefined);
  t.equal(encodeNote(note), c2sp.verified.note);
  t.equal(encodeVerifier(verifier), c2sp.verified.verifier);
});

test("[AUD-6] the example checkpoint of c2sp.org/tlog-cosignature is read as specified", async (t) => {
  const note = decodeNote(c2sp.checkpoint.note);
  const checkpoint = decodeCheckpoint(note.text);
  t.equal(checkpoint.origin, c2sp.checkpoint.origin);
  t.equal(checkpoint.size, c2sp.checkpoint.size);
  t.equal(Buffer.from(checkpoint.root).toString("base64"), c2sp.checkpoint.root);
  t.equal(encodeCheckpoint(checkpoint), note.text);
  t.equal(encodeNote(note), c2sp.checkpoint.note);
  t.strictSame(
    note.signatures.map(({ name, bytes }) => [name, bytes.byteLength]),
    [
      ["example.com/behind-the-sofa", 64],
      ["witness.example.com/w1", 72],
    ],
  );
  const time = Buffer.from(note.signatures[1]?.bytes ?? []).readBigUInt64BE(0);
  t.equal(Number(time), c2sp.checkpoint.cosignedAtUnixS);
});

test("[AUD-6] [AUD-8] our own checkpoint vector: tree, signature and cosignature", async (t) => {
  const note = decodeNote(ours.note);
  t.equal(verifyNote(note, decodeVerifier(ours.auditKey)), undefined);
  t.equal(verifyNote(note, decodeVerifier(ours.witness)), ours.cosignedAtUnixS);
  const root = rootOf(ours.records.map((record) => leafHash(Buffer.from(record))));
  t.equal(Buffer.from(root).toString("hex"), ours.root);
  t.equal(encodeCheckpoint({ origin: "sallyport/1/gw-0001", size: ours.records.length, root }), ours.text);
});

test("openssl agrees with the signatures of our vector", { skip: needs("openssl") }, async (t) => {
  const directory = t.testdir({ own: ours.auditKeyPem, witness: ours.witnessPem });
  const [own, witness] = decodeNote(ours.note).signatures;
  const verify = (pem: string, message: string, signature: Uint8Array): number | null => {
    writeFileSync(`${directory}/message`, message);
    writeFileSync(`${directory}/signature`, signature);
    const args = ["pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", pem, "-in", "message", "-sigfile", "signature"];
    return spawnSync("openssl", args, { cwd: directory }).status;
  };
  t.equal(verify("own", ours.text, own?.bytes ?? Buffer.of()), 0);
  const cosigned = `cosignature/v1\ntime ${ours.cosignedAtUnixS}\n${ours.text}`;
  t.equal(verify("witness", cosigned, witness?.bytes.subarray(8) ?? Buffer.of()), 0);
  t.equal(verify("witness", ours.text, witness?.bytes.subarray(8) ?? Buffer.of()), 1);
});

test("a note of 16 signatures is read and the requested signature is found among them; a 17th is refused", async (t) => {
  const keys = Array.from({ length: NOTE_SIGNATURES_MAX + 1 }, (_, i) => key(`example.com/${i}`));
  const text = "text\n";
  const signatures = keys.map((signer) => signNote(text, signer));
  const note = decodeNote(encodeNote({ text, signatures: signatures.slice(0, -1) }));
  for (const { verifier } of keys.slice(0, -1)) t.doesNotThrow(() => verifyNote(note, verifier));
  t.throws(() => decodeNote(encodeNote({ text, signatures })), { code: "note.invalid" });
});

test("every byte of signed text and signature counts", async (t) => {
  const signer = key("example.com/log");
  const witness = key("example.com/witness", "cosignature/v1");
  const text = "sallyport/1/gw-1\n7\nAAAA\n";
  const note = { text, signatures: [signNote(text, signer), cosign(text, 1_795_334_400, witness)] };
  for (let i = 0; i < text.length; i++) {
    const changed = { ...note, text: text.slice(0, i) + String.fromCharCode(text.charCodeAt(i) ^ 1) + text.slice(i + 1) };
    t.throws(() => verifyNote(changed, signer.verifier), { code: "note.bad-signature" });
    t.throws(() => verifyNote(changed, witness.verifier), { code: "note.bad-signature" });
  }
  for (const [index, { verifier }] of [signer, witness].entries()) {
    const good = note.signatures[index];
    if (good === undefined) throw t.fail("one signature each");
    for (let i = 0; i < good.bytes.byteLength; i++) {
      const bytes = Buffer.from(good.bytes);
      bytes[i] = (bytes[i] ?? 0) ^ 0x10;
      t.throws(() => verifyNote({ text, signatures: [{ ...good, bytes }] }, verifier), { code: "note.bad-signature" });
    }
    for (const bytes of [
      good.bytes.subarray(1),
      Buffer.concat([good.bytes, Buffer.of(0)]),
      Buffer.alloc(good.bytes.byteLength, 0xff),
    ])
      t.throws(() => verifyNote({ text, signatures: [{ ...good, bytes }] }, verifier), { code: "note.bad-signature" });
  }
});

test("signatures of other keys, of another key of the same name, and of the same key for another purpose do not count", async (t) => {
  const signer = key("example.com/log");
  const text = "text\n";
  const asWitness = { ...signer, verifier: verifierOf("example.com/log", "cosignature/v1", signer.verifier.publicKey) };
  const others = [signNote(text, key("example.com/other")), signNote(text, key("example.com/log")), cosign(text, 1, asWitness)];
  t.throws(() => verifyNote({ text, signatures: others }, signer.verifier), { code: "note.bad-signature" });
  // a key id is four bytes: anybody can find a colliding key
  const forged = { ...signNote(text, key("example.com/log")), id: signer.verifier.id };
  t.throws(() => verifyNote({ text, signatures: [forged] }, signer.verifier), { code: "note.bad-signature" });
  t.doesNotThrow(() => verifyNote({ text, signatures: [...others, signNote(text, signer)] }, signer.verifier));
});

test("a malformed signed note is refused", async (t) => {
  const good = c2sp.verified.note;
  const signature = good.slice(good.indexOf("—"));
  const cases: Record<string, string> = {
    empty: "",
    "no signature": "text\n\n",
    "no blank line": `text\n${signature}`,
    "no text": `\n\n${signature}`,
    "no newline at the end": good.slice(0, -1),
    "a line among the signatures": `${good}more\n`,
    "a control character": `te\tt\n\n${signature}`,
    "a carriage return": good.replaceAll("\n", "\r\n"),
    "a lone surrogate": `te\ud800t\n\n${signature}`,
    "a hyphen for the dash": good.replace("—", "-"),
    "a space in the name": good.replace("example.com/foo", "example com"),
    "a plus sign in the name": good.replace("example.com/foo", "a+b"),
    "a Unicode space in the name": good.replace("example.com/foo", "a\u0085b"),
    "base64 with a second spelling": good.replace("yaQM=\n", "yaQN=\n"),
    "base64 of another alphabet": good.replace("Uw2QOkn8", "Uw2QOkn_"),
    "base64 without padding": good.replace("=\n", "\n"),
    "a signature of four bytes": "text\n\n— a AAAAAA==\n",
    "too long": `${"a".repeat(NOTE_BYTES_MAX)}\n\n${signature}`,
  };
  for (const [name, note] of Object.entries(cases)) t.throws(() => decodeNote(note), { code: "note.invalid" }, name);
});

test("the last empty line separates text and signatures, so a text may have empty lines", async (t) => {
  const signer = key("example.com/log");
  const text = "one\n\ntwo\n\n";
  t.equal(decodeNote(encodeNote({ text, signatures: [signNote(text, signer)] })).text, text);
});

test("no altered verifier key is accepted: every part of the text, and every character raised by one", async (t) => {
  const good = c2sp.verified.verifier;
  for (let from = 0; from < good.length; from++)
    for (let to = from + 1; to <= good.length; to++)
      if (to - from < good.length) t.throws(() => decodeVerifier(good.slice(from, to)), { code: "note.invalid" });
  for (let i = 0; i < good.length; i++) {
    const mangled = good.slice(0, i) + String.fromCharCode(good.charCodeAt(i) + 1) + good.slice(i + 1);
    t.throws(() => decodeVerifier(mangled), { code: "note.invalid" }, mangled);
  }
  for (const name of ["", "a b", "a+b", "a\nb", "a\u00a0b", "a\u0085b", "\ud800"])
    t.throws(() => verifierOf(name, "ed25519", Buffer.alloc(32)), { code: "note.invalid" });
  for (const length of [0, 31, 33]) t.throws(() => verifierOf("a", "ed25519", Buffer.alloc(length)), { code: "note.invalid" });
});

test("a key of another kind cannot be a note key", async (t) => {
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  t.throws(() => ed25519Raw(publicKey), { code: "note.invalid" });
  const { privateKey } = generateKeyPairSync("ed25519");
  t.equal(createPrivateKey(privateKey.export({ format: "pem", type: "pkcs8" })).asymmetricKeyType, "ed25519");
});

test("[AUD-6] a checkpoint has three lines, a decimal size in one spelling and a root of 32 bytes", async (t) => {
  const root = Buffer.alloc(32, 7).toString("base64");
  const cases: Record<string, string> = {
    "an extension line": `o\n1\n${root}\nextension\n`,
    "no root": "o\n1\n\n",
    "no origin": `\n1\n${root}\n`,
    "a leading zero": `o\n01\n${root}\n`,
    "a sign": `o\n+1\n${root}\n`,
    "a negative size": `o\n-1\n${root}\n`,
    "a fraction": `o\n1.0\n${root}\n`,
    "a size beyond 2^53": `o\n9007199254740993\n${root}\n`,
    hexadecimal: `o\n0x10\n${root}\n`,
    "a short root": `o\n1\n${Buffer.alloc(31).toString("base64")}\n`,
    "a root with a second spelling": `o\n1\n${root.slice(0, -2)}d=\n`,
    "no newline at the end": `o\n1\n${root}`,
    "a blank line at the end": `o\n1\n${root}\n\n`,
  };
  for (const [name, text] of Object.entries(cases)) t.throws(() => decodeCheckpoint(text), { code: "note.invalid" }, name);
  t.equal(decodeCheckpoint(`o\n0\n${root}\n`).size, 0);
  t.equal(decodeCheckpoint(`o\n9007199254740991\n${root}\n`).size, Number.MAX_SAFE_INTEGER);
});
