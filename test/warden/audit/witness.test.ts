// The hub's side of the log: what the hub cosigns, what the warden accepts from it, and what an
// auditor concludes from both.
import { generateKeyPairSync } from "node:crypto";
import { test } from "tap";
import {
  type AuditDelivery,
  cosign,
  decodeNote,
  decodeVerifier,
  describeTrail,
  ed25519Raw,
  EMPTY_FRONTIER,
  encodeCheckpoint,
  encodeNote,
  NOTE_BYTES_MAX,
  SEGMENT_RECORDS,
  type Verifier,
  verifierOf,
  verifyDelivery,
  verifyTrail,
} from "../../../warden/audit/format/index.ts";
import type { AuditLog } from "../../../warden/audit/index.ts";
import { appendMany, auditDisk, copyDisk, entryOf, openOn, testWitness, trailOf } from "../../lab/worlds/audit.ts";

function witnessKey(name = "hub.example/witness") {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  return { privateKey, verifier: verifierOf(name, "cosignature/v1", ed25519Raw(publicKey)) };
}

async function delivery(log: AuditLog, oldSize: number, size?: number): Promise<AuditDelivery> {
  const { checkpoint, proof, size: end } = await log.checkpoint(oldSize, size);
  return { oldSize, checkpoint, proof, records: await log.read(oldSize, end - oldSize) };
}

function cosigned(note: string, key: ReturnType<typeof witnessKey>): string {
  const { text, signatures } = decodeNote(note);
  return encodeNote({ text, signatures: [...signatures, cosign(text, 1_795_334_400, key)] });
}

test("[AUD-8] a cosigned checkpoint counts from then on, also after a restart; an older one that arrives later changes nothing", async (t) => {
  const witness = testWitness();
  const disk = auditDisk();
  const log = await openOn(disk, { witness: witness.verifier });
  await appendMany(log, 300);
  const early = await witness.witness(log, 50);
  t.equal(log.head.witnessedSize, 50);
  await witness.witness(log);
  t.equal(log.head.witnessedSize, 301);
  t.match(await log.cosigned(early), { witnessedSize: 301 });
  t.equal((await openOn(disk, { witness: witness.verifier })).head.witnessedSize, 301);
});

test("[AUD-8] a checkpoint without the witness's cosignature, without our signature or not of our tree does not count", async (t) => {
  const key = witnessKey();
  const disk = auditDisk();
  const log = await openOn(disk, { witness: key.verifier });
  await appendMany(log, 10);
  const { checkpoint } = await log.checkpoint(0);
  const other = await openOn(auditDisk());
  await appendMany(other, 10);
  const ours = decodeNote(checkpoint);
  const longer = encodeCheckpoint({ origin: "sallyport/1/gw-0001", size: 12, root: Buffer.alloc(32) });
  const cases: Record<string, readonly [string, string]> = {
    "no cosignature": [checkpoint, "note.bad-signature"],
    "the cosignature of another key": [cosigned(checkpoint, witnessKey()), "note.bad-signature"],
    "the cosignature of a witness of another name": [cosigned(checkpoint, witnessKey("hub.example/other")), "note.bad-signature"],
    "the cosignature alone": [encodeNote({ text: ours.text, signatures: [cosign(ours.text, 1, key)] }), "note.bad-signature"],
    "another log of the same device": [cosigned((await other.checkpoint(0)).checkpoint, key), "note.bad-signature"],
    "a text that we did not sign": [
      encodeNote({ text: longer, signatures: [...ours.signatures, cosign(longer, 1, key)] }),
      "note.bad-signature",
    ],
    "no note": ["hello\n", "note.invalid"],
    "a note without end": [`${checkpoint}${"x".repeat(NOTE_BYTES_MAX)}`, "note.invalid"],
  };
  for (const [name, [note, code]] of Object.entries(cases)) await t.rejects(log.cosigned(note), { code }, name);
  t.equal(log.head.witnessedSize, 0);
  t.notOk(disk.state.contents.has("witnessed.note"));
  t.match(await log.cosigned(cosigned(checkpoint, key)), { witnessedSize: 11 });
});

test("[AUD-8] a checkpoint that our key signed, but of a tree that is not ours, is a conflict", async (t) => {
  const key = witnessKey();
  const disk = auditDisk();
  const log = await openOn(disk, { witness: key.verifier });
  const fork = copyDisk(disk); // a stolen key, or a disk restored from a copy
  await log.append(entryOf(1));
  const forked = await openOn(fork);
  await appendMany(forked, 5);
  for (const size of [2, 6]) {
    const { checkpoint } = await forked.checkpoint(0, size);
    await t.rejects(log.cosigned(cosigned(checkpoint, key)), { code: "witness.conflict" });
  }
  t.equal(log.head.witnessedSize, 0);
});

test("[AUD-8] without a witness key nothing counts as witnessed", async (t) => {
  const log = await openOn(auditDisk());
  const { checkpoint } = await log.checkpoint(0);
  await t.rejects(log.cosigned(cosigned(checkpoint, witnessKey())), { code: "note.bad-signature", message: /no witness key/ });
});

test("[AUD-8] [AUD-9] the hub takes a delivery only if it continues its tree, with every leaf", async (t) => {
  const log = await openOn(auditDisk());
  await appendMany(log, 40);
  const key = decodeVerifier(log.auditKey);
  const first = verifyDelivery(EMPTY_FRONTIER, await delivery(log, 0, 15), key);
  t.match(first.checkpoint, { size: 15, origin: "sallyport/1/gw-0001" });
  const good = await delivery(log, 15);
  const second = verifyDelivery(first.tree, good, key);
  t.equal(second.tree.size, 41);
  t.equal(verifyDelivery(second.tree, await delivery(log, 41), key).tree.size, 41, "an empty delivery is no fault");

  const stranger = await openOn(auditDisk());
  await appendMany(stranger, 40);
  const edited = Buffer.from(
    Buffer.from(good.records[3] ?? [])
      .toString("utf8")
      .replace('"mark":', '"mark":9'),
  );
  const cases: Record<string, readonly [AuditDelivery, string]> = {
    "from the start": [await delivery(log, 0), "witness.conflict"],
    "with a gap": [await delivery(log, 16), "witness.conflict"],
    "older than the tree that is held": [await delivery(log, 0, 10), "witness.conflict"],
    "a record left out": [{ ...good, records: good.records.slice(1) }, "proof.invalid"],
    "a record too many": [{ ...good, records: [...good.records, good.records[0] ?? Buffer.of()] }, "proof.invalid"],
    "a record edited": [{ ...good, records: good.records.with(3, edited) }, "proof.invalid"],
    "two records exchanged": [
      { ...good, records: good.records.with(3, good.records[4] ?? Buffer.of()).with(4, good.records[3] ?? Buffer.of()) },
      "proof.invalid",
    ],
    "a proof too short": [{ ...good, proof: good.proof.slice(1) }, "proof.invalid"],
    "a proof too long": [{ ...good, proof: [...good.proof, Buffer.alloc(32)] }, "proof.invalid"],
    "another device's log": [await delivery(stranger, 15), "note.bad-signature"],
  };
  for (const [name, [bad, code]] of Object.entries(cases)) t.throws(() => verifyDelivery(first.tree, bad, key), { code }, name);
  t.throws(() => verifyDelivery(first.tree, { ...good, checkpoint: "" }, key), { code: "note.invalid" });
});

test("[AUD-27] a device whose log was wiped or restored from a copy is told apart from one whose log went on", async (t) => {
  const disk = auditDisk();
  const log = await openOn(disk);
  await appendMany(log, 20);
  const old = copyDisk(disk);
  await appendMany(log, 5);
  const key = decodeVerifier(log.auditKey);
  const witnessed = verifyDelivery(EMPTY_FRONTIER, await delivery(log, 0), key).tree;
  const back = await openOn(old);
  t.equal(back.tampered, undefined, "on its own, an old copy of everything verifies as it did");
  t.throws(() => verifyDelivery(witnessed, { oldSize: 26, checkpoint: "", proof: [], records: [] }, key), {
    code: "note.invalid",
  });
  const shorter = { ...(await delivery(back, 22)), oldSize: 26 };
  t.throws(() => verifyDelivery(witnessed, shorter, key), { code: "witness.conflict", message: /rolled back or wiped/ });
  await appendMany(back, 20); // longer again, with another history
  const records = await back.read(26, 100);
  const { checkpoint, proof } = await back.checkpoint(26);
  t.throws(() => verifyDelivery(witnessed, { oldSize: 26, checkpoint, proof, records }, key), { code: "proof.invalid" });
});

test("[AUD-6] an auditor verifies the log with two public keys and the last cosigned checkpoint", async (t) => {
  const witness = testWitness();
  const disk = auditDisk();
  const log = await openOn(disk, { witness: witness.verifier });
  await appendMany(log, 2 * SEGMENT_RECORDS + 30);
  const early = await witness.witness(log, 100);
  const note = await witness.witness(log, 500);
  const auditKey = decodeVerifier(log.auditKey);
  const ask = (checkpoints: readonly string[], key: Verifier = auditKey, by: Verifier = witness.verifier) =>
    verifyTrail({ files: trailOf(disk), auditKey: key, witness: by, checkpoints });
  t.match(ask([note, early]), { finding: undefined, first: 0, size: 543, vouched: 500, tornBytes: 0, epoch: 0 });
  t.equal(describeTrail(ask([note])), "audit log sound: entries 0 to 542; 500 of 543 vouched for by signed checkpoints");
  t.throws(() => ask([note], undefined, witnessKey().verifier), { code: "note.bad-signature" });
  const wrongKey = verifierOf(auditKey.name, "ed25519", Buffer.alloc(32, 9));
  t.throws(() => ask([note], wrongKey), { code: "note.bad-signature" });
  t.match(ask([], wrongKey).finding, { part: "header", why: /audit key/ });
  t.throws(() => ask([note.replace("500", "501")]), { code: "note.bad-signature" });
});

test("a log written anew with the stolen key is sound in itself: only a witnessed checkpoint reveals it", async (t) => {
  const witness = testWitness();
  const disk = auditDisk();
  const log = await openOn(disk, { witness: witness.verifier });
  await appendMany(log, 30);
  const note = await witness.witness(log);
  const rewritten = auditDisk();
  // root has the key
  rewritten.state.contents.set("audit-key.pem", disk.state.contents.get("audit-key.pem") ?? Buffer.of());
  const forged = await openOn(rewritten);
  t.equal(forged.auditKey, log.auditKey);
  for (let i = 30; i > 0; i--) await forged.append(entryOf(i));
  const question = { files: trailOf(rewritten), auditKey: decodeVerifier(log.auditKey) };
  t.equal(verifyTrail({ ...question, checkpoints: [] }).finding, undefined);
  t.match(verifyTrail({ ...question, checkpoints: [note] }).finding, { part: "tree", entry: 0, until: 31 });
});
