// What a device escrows, at a real hub: whose notes are stored, how many, and how they are printed.
import { test } from "tap";
import type { ChipSecrets } from "../../../warden/escrow/format/index.ts";
import { escrowNoteText, openSecrets, parseEscrowNote, sealSecrets } from "../../../warden/escrow/format/index.ts";
import {
  decodeNote,
  decodeVerifier,
  encodeNote,
  encodeVerifier,
  type Note,
  signNote,
  verifierFingerprint,
  verifyNote,
} from "../../../warden/audit/format/index.ts";
import type { JournalEntry } from "../../../hub/store/index.ts";
import type { TestContext } from "../../lab/runner/context.ts";
import { eventually } from "../../lab/runner/process.ts";
import { escrowOwner, labSecrets } from "../../lab/worlds/escrow.ts";
import { admitted, hubCommand, listening } from "../../lab/worlds/hub-cli.ts";
import { labAuditKey, labDevice, type LabDevice, labHub, simpleReenrol } from "../../lab/worlds/hub.ts";

const owner = escrowOwner();
const ID = "gw-1";

function noteOf(audit: LabDevice["audit"], secrets: ChipSecrets): string {
  const text = escrowNoteText({ ...secrets, sealed: sealSecrets(owner.key, secrets) });
  return encodeNote({ text, signatures: [signNote(text, audit)] });
}

/** Signature lines of a name and a key that nobody knows. */
function labelled(count: number): Note["signatures"] {
  return Array.from({ length: count }, (_, n) => ({ name: "somebody", id: Buffer.from([n, 1, 2, 3]), bytes: Buffer.alloc(64) }));
}

const at = (day: number): string => `2026-12-${String(day).padStart(2, "0")}T00:00:00.000Z`;

async function connectedDevice(t: TestContext) {
  const { hub, state } = await labHub(t);
  const journal: JournalEntry[] = [];
  hub.events.on("journal", (entry) => void journal.push(entry));
  const { device, certificate } = await admitted(hub, ID);
  const { report, heard } = await listening(t, hub, { device, certificate });
  const secrets = labSecrets({ deviceId: device.id });
  return {
    hub,
    state,
    device,
    certificate,
    secrets,
    /** The notes that the hub has cosigned. */
    answered: () =>
      heard.flatMap(({ channel, body }) => (channel === "audit" && body["answer"] === "escrowed" ? [String(body["note"])] : [])),
    /** Resolves with the hub's acknowledgement. */
    escrow: (note: string) => report("event", { kind: "tpm.escrow", note }),
    stored: async () => (await hub.store.escrows.ofDevice(device.id)).map(({ note }) => note),
    refusals: async () => {
      await hub.store.journal.flush();
      return journal.filter(({ event }) => event === "tpm.escrow-refused").map(({ detail }) => String(detail["reason"]));
    },
  };
}

test("[TUN-60] [ID-55] what a device's warden signed is on the disk when it is acknowledged, and the owner opens it", async (t) => {
  const { state, device, secrets, escrow, stored } = await connectedDevice(t);
  const note = noteOf(device.audit, secrets);
  await escrow(note);
  t.same(await stored(), [note], "when the acknowledgement is there");
  await escrow(note);
  t.same(await stored(), [note], "the same one again changes nothing");
  const { code, out, err } = await hubCommand(state, "devices", "escrow", ID);
  t.equal(code, 0);
  t.equal(`${out.join("\n")}\n`, note, "the output is the note, byte by byte");
  t.match(err.join("\n"), new RegExp(`made ${secrets.madeAt}.*${secrets.storage}`, "u"));
  t.same(openSecrets(parseEscrowNote(note).sealed, owner.privateKey), secrets);
  const wrongAt = await hubCommand(state, "devices", "escrow", ID, "--at", "yesterday");
  t.match(wrongAt, { code: 2, err: /--at "yesterday": expected a time/u });
  const { data } = await hubCommand(state, "devices", "escrow", ID, "--json");
  t.match(data, { deviceId: ID, note, storage: secrets.storage, auditKey: encodeVerifier(device.audit.verifier) });
});

test("[TUN-60] [ID-55] the hub cosigns what it stores, also what it has already, and signatures that the agent adds are dropped", async (t) => {
  const { hub, device, secrets, escrow, stored, answered } = await connectedDevice(t);
  const note = noteOf(device.audit, secrets);
  const { text, signatures } = decodeNote(note);
  const padded = encodeNote({ text, signatures: [...labelled(5), ...signatures, ...labelled(5)] });
  await escrow(padded);
  t.same(await stored(), [note], "without the signatures of others");
  await escrow(note);
  const [first, second, ...rest] = await eventually("both answers", async () =>
    answered().length === 2 ? answered() : undefined,
  );
  t.same(rest, []);
  const witness = decodeVerifier(hub.anchors.witnessKey ?? "");
  for (const cosigned of [first, second]) {
    const answer = decodeNote(cosigned ?? "");
    t.equal(answer.text, text);
    verifyNote(answer, device.audit.verifier);
    t.ok(verifyNote(answer, witness), "the time of the cosignature");
  }
  await escrow(noteOf(labAuditKey(ID), { ...secrets, madeAt: at(30) }));
  await escrow(note);
  await eventually("the third answer", async () => (answered().length >= 3 ? true : undefined));
  t.equal(answered().length, 3, "a refused one has no answer");
});

test("[ID-55] a captured agent cannot push the good note out: neither by its own, nor by old ones", async (t) => {
  const { device, secrets, escrow, stored, refusals } = await connectedDevice(t);
  const notes = [1, 2, 3, 4, 5, 6].map((day) => noteOf(device.audit, { ...secrets, madeAt: at(day) }));
  for (const note of notes) await escrow(note);
  const good = notes.slice(2).toReversed();
  t.same(await stored(), good, "the last four, the newest first");
  const forger = labAuditKey(ID);
  const forged = { privateKey: forger.privateKey, verifier: device.audit.verifier };
  for (let day = 7; day < 20; day += 1) await escrow(noteOf(day % 2 === 0 ? forger : forged, { ...secrets, madeAt: at(day) }));
  for (const note of notes) await escrow(note);
  await escrow(noteOf(device.audit, { ...secrets, madeAt: at(2) }));
  await escrow(noteOf(device.audit, { ...secrets, deviceId: labSecrets().deviceId, madeAt: at(20) }));
  t.same(await stored(), good);
  const reasons = (await refusals()).join("\n");
  for (const why of [/no signature of|is wrong/u, /not newer/u, /for the device "dev-1"/u]) t.match(reasons, why);
});

test("[ID-55] the last four of a device are kept, also of a former audit key, until an operator accepts a new one", async (t) => {
  const { hub, state, device, certificate, secrets, escrow, stored, refusals } = await connectedDevice(t);
  const notes = [1, 2, 3, 4, 5].map((day) => noteOf(device.audit, { ...secrets, madeAt: at(day) }));
  for (const note of notes) await escrow(note);
  t.same(await stored(), notes.slice(1).toReversed());
  const audit = labAuditKey(ID);
  const anew = noteOf(audit, { ...secrets, madeAt: at(1) });
  await escrow(anew);
  t.same(await stored(), notes.slice(1).toReversed(), "the hub does not know this audit key yet");
  t.match(await refusals(), [/no signature|is wrong/u]);
  const changed = await labDevice(ID, { key: device.key, audit });
  await simpleReenrol(hub, changed.csr, certificate, device.keyPem);
  const key = verifierFingerprint(audit.verifier);
  t.equal((await hubCommand(state, "devices", "approve", ID, device.fingerprint, "--changed", "--audit-key", key)).code, 0);
  await escrow(anew);
  t.same(await stored(), [anew, ...notes.slice(2).toReversed()], "by its own clock it is older, and it is another log's");
});

test("[TUN-60] what is no escrow note is dropped, acknowledged and noted, also one above its bound", async (t) => {
  const { device, secrets, escrow, stored, refusals, state } = await connectedDevice(t);
  for (const note of ["", "a".repeat(4096), noteOf(device.audit, secrets).replace("—", "-"), "\n".repeat(4096)])
    await escrow(note);
  t.same(await stored(), []);
  t.ok((await refusals()).length > 0);
  await escrow("a".repeat(4097));
  t.same(await stored(), []);
  const { code, err } = await hubCommand(state, "devices", "escrow", ID);
  t.equal(code, 1);
  t.match(err.join("\n"), /has escrowed nothing/u);
});
