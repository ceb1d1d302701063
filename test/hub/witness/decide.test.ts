// Verdicts on deliveries of really signed logs: genuine, forged, truncated, replayed and forked
// ones.
import { test } from "tap";
import type { AuditUpload } from "../../../agent/tunnel/format.ts";
import { decide, EMPTY_HEAD, type Head, type WitnessVerdict } from "../../../hub/witness/decide.ts";
import { encodeNote, decodeNote, signNote } from "../../../warden/audit/format/index.ts";
import { type LabDevice, labAuditKey, labDevice, labLog } from "../../lab/worlds/hub.ts";

function judge(device: LabDevice, head: Head, body: AuditUpload["body"]): WitnessVerdict {
  const bytes = (text: string) => Buffer.from(text, "base64");
  const delivery = {
    ...body,
    proof: body.proof.map((hash) => bytes(hash)),
    records: body.records.map((record) => bytes(record)),
  };
  return decide(device.id, device.audit.verifier, head, delivery);
}

function extended(verdict: WitnessVerdict): Head {
  if (verdict.verdict !== "extends") throw new RangeError(JSON.stringify(verdict));
  return verdict.head;
}

test("[AUD-8] a log is witnessed in deliveries of any size, each from where the last one ended", async (t) => {
  const device = await labDevice("gw-1");
  const log = labLog(device, 40);
  for (const cuts of [[40], [1, 2, 3, 40], [7, 8, 15, 16, 17, 39, 40], [32, 40]]) {
    let head = EMPTY_HEAD;
    for (const size of cuts) {
      head = extended(judge(device, head, log.delivery(head.size, size)));
      t.equal(head.size, size);
    }
  }
});

test("[AUD-9] a delivery that does not start at the stored head is a conflict that names the stored size", async (t) => {
  const device = await labDevice("gw-1");
  const log = labLog(device, 20);
  const head = extended(judge(device, EMPTY_HEAD, log.delivery(0, 10)));
  t.same(judge(device, head, log.delivery(0, 20)), { verdict: "conflict", size: 10 });
  t.same(judge(device, head, log.delivery(11, 20)), { verdict: "conflict", size: 10 });
  t.same(judge(device, EMPTY_HEAD, log.delivery(10, 20)), { verdict: "conflict", size: 0 }, "a hub that lost its store");
});

test("[AUD-27] the stored tree is cosigned again; a shorter one is not; another one of the same size is a fork", async (t) => {
  const device = await labDevice("gw-1");
  const log = labLog(device, 20);
  const head = extended(judge(device, EMPTY_HEAD, log.delivery(0, 20)));
  t.equal(judge(device, head, log.delivery(0, 20)).verdict, "same");
  t.match(judge(device, head, log.delivery(0, 10)), { verdict: "shorter", size: 20, checkpoint: { size: 10 } });
  t.match(judge(device, head, labLog(device, 5, "two").delivery(0, 5)), { verdict: "shorter", size: 20 });
  t.match(judge(device, head, labLog(device, 0).delivery(0, 0)), { verdict: "shorter", size: 20 }, "wiped");
  t.match(judge(device, head, labLog(device, 20, "two").delivery(0, 20)), { verdict: "fork", checkpoint: { size: 20 } });
});

test("[AUD-8] a longer tree that does not start with the stored one is refused, by its records or its proof", async (t) => {
  const device = await labDevice("gw-1");
  const [log, other] = [labLog(device, 20), labLog(device, 20, "two")];
  const head = extended(judge(device, EMPTY_HEAD, log.delivery(0, 10)));
  t.match(judge(device, head, other.delivery(10, 20)), { verdict: "refused", reason: /proof/ });
  const good = log.delivery(10, 20);
  t.match(judge(device, head, { ...good, records: other.delivery(10, 20).records }), {
    verdict: "refused",
    reason: /do not hash/,
  });
  t.match(judge(device, head, { ...good, records: good.records.slice(1) }), { verdict: "refused", reason: /10 records.*has 9/ });
  t.match(judge(device, head, { ...good, records: [...good.records, ...good.records] }), { verdict: "refused" });
  t.match(judge(device, head, { ...good, records: good.records.toReversed() }), { verdict: "refused", reason: /do not hash/ });
  t.match(judge(device, head, { ...good, proof: good.proof.slice(1) }), { verdict: "refused", reason: /proof/ });
  t.match(judge(device, head, { ...good, proof: [...good.proof, ...good.proof.slice(0, 1)] }), { verdict: "refused" });
  t.match(judge(device, head, { ...good, proof: [] }), { verdict: "refused" });
  const long = { ...good, records: [...good.records.slice(1), Buffer.alloc(4097).toString("base64")] };
  t.match(judge(device, head, long), { verdict: "refused", reason: /more than 4096 bytes/ });
});

test("[AUD-6] [AUD-7] only the device's own audit key signs its checkpoints, under its own name", async (t) => {
  const device = await labDevice("gw-1");
  const other = await labDevice("gw-2");
  const log = labLog(device, 5);
  const good = log.delivery(0, 5);
  const impostor: LabDevice = { ...device, audit: labAuditKey("gw-1") };
  t.match(judge(device, EMPTY_HEAD, labLog(impostor, 5).delivery(0, 5)), { verdict: "refused", reason: /no signature/ });
  t.match(judge(device, EMPTY_HEAD, labLog(other, 5).delivery(0, 5)), { verdict: "refused" }, "another device's log");
  const { text } = decodeNote(good.checkpoint);
  const foreignText = text.replace("gw-1", "gw-2");
  const foreign = encodeNote({ text: foreignText, signatures: [signNote(foreignText, device.audit)] });
  t.match(judge(device, EMPTY_HEAD, { ...good, checkpoint: foreign }), {
    verdict: "refused",
    reason: /is for "sallyport\/1\/gw-2"/,
  });
  const larger = good.checkpoint.replace("\n5\n", "\n6\n");
  t.match(judge(device, EMPTY_HEAD, { ...good, checkpoint: larger }), { verdict: "refused", reason: /signature .* is wrong/ });
  for (const checkpoint of ["", "x", `${text}\n`, good.checkpoint.slice(0, -10), `${text}x\n`])
    t.match(judge(device, EMPTY_HEAD, { ...good, checkpoint }), { verdict: "refused" });
});
