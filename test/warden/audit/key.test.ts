import { createPrivateKey, createPublicKey, verify } from "node:crypto";
import { test } from "tap";
import { decodeNote, decodeVerifier, ed25519Raw, verifyNote } from "../../../warden/audit/format/index.ts";
import { auditDisk, openOn } from "../../lab/worlds/audit.ts";

test("[AUD-7] the audit key is created once, durably, before anything is signed; only its public half is given out, named after the log", async (t) => {
  const disk = auditDisk();
  const log = await openOn(disk);
  const pem = Buffer.from(disk.state.contents.get("audit-key.pem") ?? []).toString("utf8");
  const key = createPrivateKey(pem);
  const verifier = decodeVerifier(log.auditKey);
  t.match(verifier, { name: "sallyport/1/gw-0001", kind: "ed25519" });
  t.same(verifier.publicKey, ed25519Raw(createPublicKey(key)));
  const { checkpoint } = await log.checkpoint(0);
  const note = decodeNote(checkpoint);
  t.equal(verifyNote(note, verifier), undefined);
  t.ok(verify(null, Buffer.from(note.text), createPublicKey(key), note.signatures[0]?.bytes ?? Buffer.of()));
  t.equal((await openOn(disk)).auditKey, log.auditKey);
});

test("[AUD-7] a crash between the key and the first record leaves a key that the next start uses", async (t) => {
  const disk = auditDisk();
  disk.files.faults.failAt(1, "file.write-failed");
  await t.rejects(openOn(disk), { code: "audit.write-failed" });
  const pem = disk.state.contents.get("audit-key.pem");
  t.ok(pem);
  const log = await openOn(disk);
  t.equal(disk.state.contents.get("audit-key.pem"), pem);
  t.equal(log.tampered, undefined);
});

test("[AUD-7] a key file that holds no key, before there is a log, is set aside and not lost", async (t) => {
  const disk = auditDisk();
  disk.state.contents.set("audit-key.pem", Buffer.from("no key"));
  const log = await openOn(disk);
  t.equal(log.tampered, undefined);
  t.same(disk.state.contents.get("audit-key.pem.rejected"), Buffer.from("no key"));
});

test("two devices never share a key, and neither does a log that follows a tampered one", async (t) => {
  const keys = new Set([(await openOn(auditDisk())).auditKey, (await openOn(auditDisk())).auditKey]);
  t.equal(keys.size, 2);
});
