// The signed note around a sealed text, and the passwords in it.
import { generateKeyPairSync } from "node:crypto";
import { test } from "tap";
import {
  decodeCheckpoint,
  decodeNote,
  ed25519Raw,
  encodeNote,
  signNote,
  verifierOf,
} from "../../../../warden/audit/format/index.ts";
import {
  ESCROW_NOTE_BYTES_MAX,
  encodeSecrets,
  escrowNoteText,
  openSecrets,
  parseEscrowNote,
  parseSecrets,
  sealSecrets,
  verifyEscrowNote,
} from "../../../../warden/escrow/format/index.ts";
import { escrowOwner, labSecrets } from "../../../lab/worlds/escrow.ts";

const owner = escrowOwner();
const secrets = labSecrets();

function auditKey(name = "audit") {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  return { privateKey, verifier: verifierOf(name, "ed25519", ed25519Raw(publicKey)) };
}

const signer = auditKey();
const text = escrowNoteText({ ...secrets, sealed: sealSecrets(owner.key, secrets) });
const encoded = encodeNote({ text, signatures: [signNote(text, signer)] });

test("[ID-54] only the owner reads the passwords, and reads all of them", async (t) => {
  const { sealed, ...facts } = verifyEscrowNote(encoded, signer.verifier);
  t.same(facts, { deviceId: secrets.deviceId, madeAt: secrets.madeAt, storage: secrets.storage });
  t.same(openSecrets(sealed, owner.privateKey), secrets);
  for (const password of Object.values(secrets.passwords)) t.notOk(encoded.includes(password));
  t.throws(() => openSecrets(sealed, escrowOwner().privateKey), { code: "escrow.not-opened" });
  t.ok(encoded.length < ESCROW_NOTE_BYTES_MAX / 2, `${encoded.length} bytes`);
});

test("[ID-55] a note that another key signed, or that was changed, is refused", async (t) => {
  const other = auditKey();
  t.throws(() => verifyEscrowNote(encoded, other.verifier), { code: "note.bad-signature" });
  const forged = encodeNote({ text, signatures: [signNote(text, other)] });
  t.throws(() => verifyEscrowNote(forged, signer.verifier), { code: "note.bad-signature" });
  const later = encoded.replace(secrets.madeAt, "2031-01-01T00:00:00.000Z");
  t.throws(() => verifyEscrowNote(later, signer.verifier), { code: "note.bad-signature" });
});

test("[ID-55] what has another form is refused, whoever signed it", async (t) => {
  const signed = (lines: string): string => encodeNote({ text: lines, signatures: [signNote(lines, signer)] });
  const [first = "", madeAt = "", storage = "", sealed = ""] = text.split("\n");
  const lines = (...each: readonly string[]): string => signed(`${each.join("\n")}\n`);
  for (const wrong of [
    lines("sallyport/escrow/2/dev-1", madeAt, storage, sealed),
    lines("sallyport/escrow/1/../etc", madeAt, storage, sealed),
    lines(first, "yesterday", storage, sealed),
    lines(first, "2026-13-01T00:00:00.000Z", storage, sealed),
    lines(first, madeAt, "000b", sealed),
    lines(first, madeAt, storage, sealed.slice(1)),
    lines(first, madeAt, storage, sealed, "more"),
    lines(first, madeAt, storage),
    encoded.slice(0, -1),
    `${encoded}\n`,
    "",
    "a".repeat(1_048_576),
    "\n".repeat(ESCROW_NOTE_BYTES_MAX),
  ])
    t.throws(() => parseEscrowNote(wrong), { code: "escrow.invalid" }, wrong.slice(0, 80));
});

test("[ID-55] [AUD-6] an escrow note is no checkpoint of the audit log, which the same key signs", async (t) => {
  t.throws(() => decodeCheckpoint(decodeNote(encoded).text), { code: "note.invalid" });
  const checkpoint = `sallyport/1/${secrets.deviceId}\n1\n${Buffer.alloc(32).toString("base64")}\n`;
  t.ok(decodeCheckpoint(checkpoint));
  t.throws(() => parseEscrowNote(encodeNote({ text: checkpoint, signatures: [signNote(checkpoint, signer)] })), {
    code: "escrow.invalid",
  });
});

test("[ID-54] a message about damaged passwords quotes none of them", async (t) => {
  const secret = secrets.passwords.owner;
  t.same(parseSecrets(Buffer.from(encodeSecrets(secrets)), "the record"), secrets);
  for (const wrong of [
    encodeSecrets(secrets).replace(secret, `!${secret}`),
    encodeSecrets(secrets).replace(`"${secret}"`, secret),
    encodeSecrets(secrets).replace('"owner"', `"${secret}"`),
    encodeSecrets(secrets).slice(0, -40),
    JSON.stringify({ ...secrets, v: 2 }),
    JSON.stringify({ ...secrets, passwords: { owner: secret } }),
    secret.repeat(100),
  ]) {
    t.throws(() => parseSecrets(Buffer.from(wrong), "the record"), { code: "escrow.invalid" });
    try {
      parseSecrets(Buffer.from(wrong), "the record");
    } catch (error) {
      t.notOk(String(error).includes(secret.slice(0, 12)), String(error));
    }
  }
});
