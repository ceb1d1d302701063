import { test } from "tap";
import { parseJson, REPORT_VALUES_MAX } from "../../../hal/format/json.ts";
import { NO_WARDEN } from "../../lab/worlds/operations.ts";
import { createHandlers, createOperations } from "../../../agent/operations/index.ts";
import { OPERATION_ANSWER_BYTES_MAX } from "../../../agent/operations/format.ts";
import { type AuditRecord, encodeAuditRecord } from "../../../warden/audit/format/index.ts";
import { CLOCK, recordOf, ROOT } from "../../lab/worlds/operations.ts";
import { CONNECTED } from "../../lab/worlds/device-status.ts";

function operationsOver(log: readonly AuditRecord[], read?: (from: number, count: number) => readonly Uint8Array[]) {
  const reads: [number, number][] = [];
  const handlers = createHandlers({
    ...NO_WARDEN,
    snapshot: async () => CONNECTED,
    auditHead: async () => ({ size: log.length, witnessedSize: 0, dropped: 0 }),
    readAudit: async (from, count) => {
      reads.push([from, count]);
      return read === undefined ? log.slice(from, from + count).map((record) => encodeAuditRecord(record)) : read(from, count);
    },
  });
  return { operations: createOperations({ handlers, audit: async () => {}, clock: CLOCK }), reads };
}
const tail = (count?: number) => ({ v: 1, id: "1", operation: "audit.tail", args: count === undefined ? {} : { count } });
const log = (size: number, padding = 0) =>
  Array.from({ length: size }, (_, seq) => recordOf(seq, { event: "tunnel.connected", result: "ok", detail: padded(padding) }));
const padded = (members: number) => Object.fromEntries(Array.from({ length: members }, (_, n) => [`x${n}`, "y".repeat(450)]));

test("audit.tail gives the head and the last records, decoded, oldest first, ten by default", async (t) => {
  const { operations } = operationsOver(log(30));
  const answer = await operations.perform(ROOT, tail());
  t.match(answer, {
    result: { head: { size: 30 }, records: Array.from({ length: 10 }, (_, n) => ({ seq: 20 + n, event: "tunnel.connected" })) },
  });
});

test("a trail shorter than requested is given whole, and an empty one is empty", async (t) => {
  t.match(await operationsOver(log(3)).operations.perform(ROOT, tail(256)), { result: { records: { length: 3 } } });
  t.match(await operationsOver([]).operations.perform(ROOT, tail()), { result: { records: { length: 0 } } });
});

test("many records are read in pieces that the warden serves", async (t) => {
  const { operations, reads } = operationsOver(log(300));
  t.match(await operations.perform(ROOT, tail(200)), { result: { records: { length: 200 } } });
  t.same(reads, [
    [100, 64],
    [164, 64],
    [228, 64],
    [292, 8],
  ]);
});

test("the answer has the newest records when it cannot hold all", async (t) => {
  const { operations } = operationsOver(log(256, 7));
  const answer = await operations.perform(ROOT, tail(256));
  const bytes = Buffer.byteLength(JSON.stringify(answer));
  t.ok(bytes <= OPERATION_ANSWER_BYTES_MAX && bytes > OPERATION_ANSWER_BYTES_MAX * 0.9, `${bytes} bytes`);
  t.match(JSON.stringify(answer), /"seq":255/);
});

test("[STA-12] the answer has no more values than its readers take, however small the records are", async (t) => {
  const small = Array.from({ length: 256 }, (_, seq) =>
    recordOf(seq, {
      event: "tunnel.connected",
      result: "ok",
      detail: Object.fromEntries(Array.from("abcdefgh", (name) => [name, 1])),
    }),
  );
  const answer = JSON.stringify(await operationsOver(small).operations.perform(ROOT, tail(256)));
  t.doesNotThrow(() => parseJson(answer, OPERATION_ANSWER_BYTES_MAX, "answer", { valuesMax: REPORT_VALUES_MAX }));
  t.ok((answer.match(/"seq":/gu) ?? []).length > 128);
  t.match(answer, /"seq":255/u, "the newest");
});

test("deleted records are left out, and surplus records from the warden are ignored", async (t) => {
  t.match(await operationsOver(log(30), () => []).operations.perform(ROOT, tail()), { result: { records: { length: 0 } } });
  const tooMany = log(99).map((record) => encodeAuditRecord(record));
  t.match(await operationsOver(log(30), () => tooMany).operations.perform(ROOT, tail(5)), {
    result: { records: { length: 5 } },
  });
});

test("a record that no warden wrote is reported as tampered with", async (t) => {
  const { operations } = operationsOver(log(3), () => [Buffer.from('{"v":1}')]);
  t.match(await operations.perform(ROOT, tail()), { fault: { code: "audit.tampered", message: /verify the trail/ } });
});
