// The witness through the broker: deliveries, answers, and alerts for logs that went back.
import { DatabaseSync } from "node:sqlite";
import { join } from "node:path";
import * as v from "valibot";
import { test } from "tap";
import { type AuditAnswer, auditAnswerSchema, type AuditUpload } from "../../../agent/tunnel/format.ts";
import type { Hub } from "../../../hub/index.ts";
import { verifyLog } from "../../../hub/witness/index.ts";
import { type AuditEntry, decodeNote, decodeVerifier, verifyNote } from "../../../warden/audit/format/index.ts";
import { hubCommand } from "../../lab/worlds/hub-cli.ts";
import { connect, enrolled, labDevice, type LabDevice, labHub, labLog, labMessage } from "../../lab/worlds/hub.ts";
import type { TestContext } from "../../lab/runner/context.ts";
import { HANG_MS } from "../../lab/runner/process.ts";

/** A connected device that sends a delivery and waits for the answer. */
async function openDelivery(t: TestContext, hub: Hub, device: LabDevice) {
  const { client } = await connect(t, hub, device, await enrolled(hub, device));
  await client.subscribeAsync(`sallyport/1/${device.id}/down/audit`, { qos: 1 });
  return async (body: AuditUpload["body"], id?: string): Promise<AuditAnswer["body"]> => {
    const answer = new Promise<Buffer>((resolve) => client.once("message", (_topic, payload) => resolve(payload)));
    await client.publishAsync(`sallyport/1/${device.id}/up/audit`, labMessage(body, id), { qos: 1 });
    return v.parse(auditAnswerSchema, JSON.parse((await answer).toString())).body;
  };
}

async function verified(hub: Hub, device: LabDevice) {
  const [log] = await hub.store.audit.logs(device.id);
  if (log === undefined) throw new RangeError("no log");
  return verifyLog(hub.store.audit, device.id, log, decodeVerifier(hub.anchors.witnessKey ?? ""));
}

test("[AUD-8] a continuation of the log is stored and cosigned, verifiable with the witness key of the anchors", async (t) => {
  const { hub } = await labHub(t);
  const device = await labDevice("gw-1");
  const deliver = await openDelivery(t, hub, device);
  const log = labLog(device, 100);
  for (const [from, to] of [
    [0, 1],
    [1, 64],
    [64, 100],
  ] as const) {
    const answer = await deliver(log.delivery(from, to));
    if (answer.answer !== "cosigned") throw new RangeError(JSON.stringify(answer));
    const note = decodeNote(answer.checkpoint);
    verifyNote(note, device.audit.verifier);
    const seconds = verifyNote(note, decodeVerifier(hub.anchors.witnessKey ?? "")) ?? 0;
    t.ok(Math.abs(seconds * 1000 - Date.now()) < 60_000);
  }
  const [stored] = await hub.store.audit.logs(device.id);
  const records = await hub.store.audit.records(device.id, stored?.auditKey ?? "", 0, 1000);
  t.same(
    records.map(({ bytes }) => Buffer.from(bytes)),
    log.records.map((record) => Buffer.from(record)),
  );
  t.match(await verified(hub, device), { ok: true, size: 100, firstBad: undefined, faults: [] });
});

test("[AUD-9] the device resumes from the hub's size; a repeated delivery is answered again", async (t) => {
  const { hub } = await labHub(t);
  const device = await labDevice("gw-1");
  const deliver = await openDelivery(t, hub, device);
  const log = labLog(device, 30);
  const id = "3d3f2c46-6b3c-4c57-9d0b-3c1f0a5f8a11";
  t.equal((await deliver(log.delivery(0, 10), id)).answer, "cosigned");
  t.equal((await deliver(log.delivery(0, 10), id)).answer, "cosigned", "sent again under the same id");
  t.equal((await deliver(log.delivery(0, 10))).answer, "cosigned", "and under another id");
  t.same(await deliver(log.delivery(0, 30)), { answer: "conflict", size: 10 });
  t.equal((await deliver(log.delivery(10, 30))).answer, "cosigned");
  t.same(
    await deliver(log.delivery(0, 10), id),
    { answer: "conflict", size: 30 },
    "an old message that is sent again much later",
  );
  t.same(await hub.store.journal.tail(100, "alert"), [], "none of this raises an alert");
});

test("[AUD-27] a log shorter than the hub's raises an alert and gets no cosignature", async (t) => {
  const { hub } = await labHub(t);
  const device = await labDevice("gw-1");
  const deliver = await openDelivery(t, hub, device);
  const log = labLog(device, 30);
  await deliver(log.delivery(0, 30));
  t.same(await deliver(log.delivery(0, 12)), { answer: "conflict", size: 30 });
  t.same(await deliver(labLog(device, 3, "two").delivery(0, 3)), { answer: "conflict", size: 30 });
  t.match(await hub.store.journal.tail(100, "alert"), [
    { event: "audit.rolled-back", deviceId: "gw-1", detail: { size: 12, hubSize: 30, state: "a prefix of ours" } },
    { event: "audit.forked", deviceId: "gw-1", detail: { size: 3, hubSize: 30, state: "another history" } },
  ]);
  t.match(await verified(hub, device), { ok: true, size: 30 });
});

test("[AUD-27] a second history of the same length is refused, and the alert contains the proof", async (t) => {
  const { hub } = await labHub(t);
  const device = await labDevice("gw-1");
  const deliver = await openDelivery(t, hub, device);
  await deliver(labLog(device, 8).delivery(0, 8));
  t.match(await deliver(labLog(device, 8, "two").delivery(0, 8)), { answer: "refused", reason: /another tree of size 8/ });
  t.match(await hub.store.journal.tail(100, "alert"), [{ event: "audit.forked", deviceId: "gw-1", detail: { size: 8 } }]);
});

test("[AUD-8] forged and truncated deliveries are refused with a reason and change nothing", async (t) => {
  const { hub } = await labHub(t);
  const device = await labDevice("gw-1");
  const deliver = await openDelivery(t, hub, device);
  const log = labLog(device, 20);
  await deliver(log.delivery(0, 10));
  const good = log.delivery(10, 20);
  t.match(await deliver({ ...good, records: good.records.slice(0, 9) }), { answer: "refused" });
  t.match(await deliver({ ...good, proof: [] }), { answer: "refused" });
  t.match(await deliver({ ...good, checkpoint: good.checkpoint.replace("\n20\n", "\n21\n") }), { answer: "refused" });
  t.match(await verified(hub, device), { ok: true, size: 10 });
  t.equal((await deliver(good)).answer, "cosigned");
});

test("[AUD-7] a device whose approved request has no audit key gets that reason", async (t) => {
  const { hub } = await labHub(t);
  const device = await labDevice("gw-1", { withoutAuditKey: true });
  const deliver = await openDelivery(t, hub, device);
  t.match(await deliver(labLog(device, 1).delivery(0, 1)), { answer: "refused", reason: /has no audit key/ });
});

test("[AUD-47] what an operator must hear of in a device's log is an alert, once, and nothing else is", async (t) => {
  const { hub, state } = await labHub(t);
  const device = await labDevice("gw-1");
  const deliver = await openDelivery(t, hub, device);
  const entries: readonly AuditEntry[] = [
    { event: "lockdown.unknown", result: "ok", detail: { what: "the name servers" } },
    { event: "lockdown.known", result: "ok", detail: { what: '"severity":"high"' } },
    { event: "update.rolled-back", result: "failed" },
    { event: "tunnel.kicked", result: "failed", detail: { kicks: 3 } },
    ...Array.from({ length: 20 }, (): AuditEntry => ({ event: "audit.dropped", result: "failed" })),
  ];
  const log = labLog(device, 40, "one", entries);
  t.match(await deliver(log.delivery(0, 40)), { answer: "cosigned" });
  t.match(await deliver(log.delivery(0, 40)), { answer: "cosigned" }, "it is sent again");
  await hub.store.journal.flush();
  const found = (await hub.store.journal.tail(100, "alert")).filter(({ event }) => event === "device.alarm");
  const seqs = found.map(({ detail }) => detail["seq"]);
  t.same(seqs, [0, 3, ...Array.from({ length: 13 }, (_, n) => 4 + n)], "sixteen marked records are told");
  t.match(found[0]?.detail, { event: "lockdown.unknown", source: "warden", what: "what: the name servers" });
  t.match(found[1]?.detail, { event: "tunnel.kicked", source: "agent", what: "kicks: 3" });
  t.equal(found.at(-1)?.detail["further"], 7);
  t.match((await hubCommand(state, "alerts")).out.join("\n"), /device\.alarm gw-1 .*event=lockdown\.unknown/u);
});

test("[AUD-8] every change of the stored log is found, and the first bad record is named", async (t) => {
  const { hub, state } = await labHub(t);
  const device = await labDevice("gw-1");
  const deliver = await openDelivery(t, hub, device);
  await deliver(labLog(device, 20).delivery(0, 20));
  // The running hub writes its journal now and then.
  const database = new DatabaseSync(join(state, "hub.db"), { timeout: HANG_MS });
  t.teardown(() => database.close());
  const damaged = async (sql: string) => {
    database.exec("BEGIN");
    database.exec(sql);
    database.exec("COMMIT");
    return verified(hub, device);
  };
  const undo = (sql: string) => database.exec(sql);

  database.exec("CREATE TABLE kept AS SELECT * FROM auditRecords; CREATE TABLE keptLogs AS SELECT * FROM auditLogs");
  const restore = () =>
    undo(
      "DELETE FROM auditRecords; DELETE FROM auditLogs; INSERT INTO auditLogs SELECT * FROM keptLogs; INSERT INTO auditRecords SELECT * FROM kept",
    );

  t.match(
    await damaged("UPDATE auditRecords SET bytes = CAST(replace(CAST(bytes AS TEXT), 'one', 'two') AS BLOB) WHERE seq = 7"),
    {
      ok: false,
      firstBad: 7,
      faults: [/^record 7: its bytes are not the witnessed ones/],
    },
  );
  restore();
  t.match(await damaged("DELETE FROM auditRecords WHERE seq = 11"), {
    ok: false,
    firstBad: 11,
    faults: [/^record 11: it is missing/],
  });
  restore();
  t.match(await damaged("DELETE FROM auditRecords WHERE seq = 19"), { ok: false, firstBad: 19 });
  restore();
  t.match(
    await damaged(
      "UPDATE auditRecords SET bytes = (SELECT bytes FROM kept WHERE seq = 4), leaf = (SELECT leaf FROM kept WHERE seq = 4) WHERE seq = 5",
    ),
    { ok: false, firstBad: 5, faults: [/its own number is 4/] },
  );
  restore();
  t.match(await damaged("UPDATE auditLogs SET root = zeroblob(32)"), { ok: false, faults: [/./] });
  restore();
  t.match(await damaged("UPDATE auditLogs SET size = 19"), { ok: false });
  restore();
  t.match(await damaged("UPDATE auditLogs SET cosigned = replace(cosigned, 'A', 'B')"), { ok: false });
  restore();
  t.match(await verified(hub, device), { ok: true });
});
