// The warden's side of the escrow: one note for one set of passwords, and whose word counts.
import { test } from "tap";
import { cosign, decodeNote, encodeNote, signNote } from "../../../warden/audit/format/index.ts";
import { type EscrowState, openSecrets, verifyEscrowNote } from "../../../warden/escrow/format/index.ts";
import { ESCROW_FILE, openEscrow, type PasswordsInForce } from "../../../warden/escrow/index.ts";
import { Fault } from "../../../hal/fault.ts";
import { makeSigner } from "../../lab/counterparts/hub-signer.ts";
import { fakeFiles } from "../../lab/fakes/files.ts";
import { escrowOwner, type EscrowOwner, labSecrets } from "../../lab/worlds/escrow.ts";

const owner = escrowOwner();
const { v: _v, deviceId, madeAt: _madeAt, ...secrets } = labSecrets();
const witness = makeSigner("hub.example/witness", "cosignature/v1");
const AT_S = 1_790_000_000;

function world(given: { readonly owner?: EscrowOwner["key"] | Fault | undefined } = { owner: owner.key }) {
  const files = fakeFiles();
  const clock = { nowMs: 1_790_000_000_000 };
  const open = async (audit = makeSigner("sallyport/1/dev-1", "ed25519"), by = given.owner) =>
    await openEscrow({
      files,
      deviceId,
      owner: by,
      sign: (text) => encodeNote({ text, signatures: [signNote(text, audit)] }),
      verifier: audit.verifier,
      witness: witness.verifier,
      clock: { nowMs: () => clock.nowMs },
    });
  return { files, clock, open };
}

function sealed(state: EscrowState) {
  if (state.state === "none") throw new Fault("assert.broken", state.why);
  return state;
}

const cosigned = (note: string, by = witness): string => {
  const { text, signatures } = decodeNote(note);
  return encodeNote({ text, signatures: [...signatures, cosign(text, AT_S, by)] });
};

test("[ID-54] the passwords are sealed once: the note stays the same over restarts", async (t) => {
  const { files, open } = world();
  const audit = makeSigner("sallyport/1/dev-1", "ed25519");
  const escrow = await open(audit);
  t.match(escrow.state(), { state: "none", why: /no passwords/u }, "before the passwords are in force");
  await escrow.keep(secrets);
  const { note, escrowed } = sealed(escrow.state());
  t.notOk(escrowed);
  const { madeAt, sealed: text } = verifyEscrowNote(note, audit.verifier);
  t.same(openSecrets(text, owner.privateKey), { ...secrets, v: 1, deviceId, madeAt });
  await escrow.keep(secrets);
  const again = await open(audit);
  await again.keep(secrets);
  t.equal(sealed(again.state()).note, note);
  const record = Buffer.from((await files.get(ESCROW_FILE, 65_536)) ?? "").toString();
  for (const password of Object.values(secrets.passwords)) t.notOk(record.includes(password), "no password is in the record");
});

test("[ID-55] other passwords, another owner and another audit key make a new note, which is later by its own time", async (t) => {
  const { clock, open } = world();
  const audit = makeSigner("sallyport/1/dev-1", "ed25519");
  const first = await open(audit);
  await first.keep(secrets);
  const notes = [sealed(first.state()).note];
  clock.nowMs -= 86_400_000;
  const changed: PasswordsInForce = { ...secrets, passwords: { ...secrets.passwords, owner: "ab".repeat(32) } };
  await first.keep(changed);
  notes.push(sealed(first.state()).note);
  const other = await open(audit, escrowOwner().key);
  await other.keep(changed);
  notes.push(sealed(other.state()).note);
  const times = notes.map((note) => Date.parse(verifyEscrowNote(note, audit.verifier).madeAt));
  t.ok((times[0] ?? 0) < (times[1] ?? 0) && (times[1] ?? 0) < (times[2] ?? 0), "although the clock was set back");
  const anew = makeSigner("sallyport/1/dev-1", "ed25519");
  const after = await open(anew, escrowOwner().key);
  await after.keep(changed);
  t.ok(verifyEscrowNote(sealed(after.state()).note, anew.verifier));
});

test("[ID-55] only the hub's cosignature on this very note makes the passwords escrowed, and it stays so", async (t) => {
  const { open } = world();
  const audit = makeSigner("sallyport/1/dev-1", "ed25519");
  const escrow = await open(audit);
  await escrow.keep(secrets);
  const { note } = sealed(escrow.state());
  const { text } = decodeNote(note);
  const impostor = makeSigner(witness.verifier.name, "cosignature/v1");
  const elsewhere = text.replace("dev-1", "dev-2");
  for (const forged of [
    note,
    cosigned(note, impostor),
    encodeNote({ text, signatures: [cosign(text, AT_S, witness)] }),
    cosigned(encodeNote({ text: elsewhere, signatures: decodeNote(note).signatures })),
    cosigned(encodeNote({ text: elsewhere, signatures: [signNote(elsewhere, audit)] })),
    "escrowed, believe me",
  ])
    await t.rejects(escrow.confirm(forged), { code: /^(?:note\.|escrow\.)/u });
  t.notOk(sealed(escrow.state()).escrowed);
  await escrow.confirm(cosigned(note));
  t.same(escrow.state(), { state: "sealed", note, escrowed: true }, "the agent still gets the note as it was");
  const again = await open(audit);
  t.match(again.state(), { state: "none" }, "until it is known whether the passwords are in force");
  await again.keep(secrets);
  t.same(again.state(), { state: "sealed", note, escrowed: true });
  await again.keep({ ...secrets, passwords: { ...secrets.passwords, lockout: "cd".repeat(32) } });
  t.notOk(sealed(again.state()).escrowed, "new passwords are not escrowed yet");
  await t.rejects(again.confirm(cosigned(note)), { code: "escrow.refused" }, "the cosignature of the old ones is not for these");
  again.drop();
  t.match(again.state(), { state: "none" });
});

test("[ID-54] without a usable key of the owner's nothing is sealed, and the words say why", async (t) => {
  for (const [by, why] of [
    [undefined, /no escrow key/u],
    [new Fault("escrow.key-unusable", "not a key"), /cannot be used/u],
  ] as const) {
    const { files, open } = world({ owner: by });
    const escrow = await open();
    await escrow.keep(secrets);
    t.match(escrow.state(), { state: "none", why });
    t.equal(await files.get(ESCROW_FILE, 65_536), undefined);
  }
});

test("[ID-54] a damaged record, and one of a newer program, cost one more note, and nothing else", async (t) => {
  for (const bytes of [
    "{",
    '{"note":"n","of":"","readable":9,"v":9}',
    '{"note":"n","of":"","readable":1,"v":1}'.replace('""', JSON.stringify("ab".repeat(32))),
  ]) {
    const { files, open } = world();
    await files.put(ESCROW_FILE, Buffer.from(bytes));
    const escrow = await open();
    t.match(escrow.state(), { state: "none" });
    await escrow.keep(secrets);
    t.ok(sealed(escrow.state()).note, bytes);
  }
});
