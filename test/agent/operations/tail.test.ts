import { test } from "tap";
import { NO_WARDEN } from "../../lab/worlds/operations.ts";
import { createHandlers, createOperations } from "../../../agent/operations/index.ts";
import { OPERATION_ANSWER_BYTES_MAX } from "../../../agent/operations/format.ts";
import { type AuditRecord, encodeAuditRecord } from "../../../warden/audit/format/index.ts";
import { CLOCK, recordOf, ROOT } from "../../lab/worlds/operations.ts";
import { CONNECTED } from "../../lab/worlds/device-status.ts";

function operationsOver(log: readonly AuditRecord[], read?: (from: number, count: number) => readonly Uint8Array[]) {
  const asked: [number, number][] = [];
  const handlers = createHandlers({
    ...NO_WARDEN,
    snapshot: async () => CONNECTED,
    auditHead: async () => ({ size: log.length, witnessedSize: 0, dropped: 0 }),
    readAudit: async (from, count) => {
      asked.push([from, count]);
      return read === undefined ? log.slice(from, from + count).map((record) => encodeAuditRecord(record)) : read(from, count);
    },
  });
  return { operations: createOperations({ handlers, audit: async () => {}, clock: CLOCK }), asked };
}
const tail = (count?: number) => ({ v: 1, id: "1", operation: "audit.tail", args: count === undefined ? {} : { count } });
const log = (size: number, padding = 0) =>
  Array.from({ length: size }, (_, seq) => recordOf(seq, { event: "tunnel.connected", result: "ok", detail: padded(padding) }));
const padded = (members: number) => Object.fromEntries(Array.from({ length: members }, (_, n) => [`x${n}`, "y".repeat(450)]));

test("the last records come decoded, oldest first, ten unless asked otherwise, with the head", async (t) => {
  const { operations } = operationsOver(log(30));
  const answer = await operations.perform(ROOT, tail());
  t.match(answer, {
    result: { head: { size: 30 }, records: Array.from({ length: 10 }, (_, n) => ({ seq: 20 + n, event: "tunnel.connected" })) },
  });
});

test("a trail shorter than asked for is given whole; an empty one is empty", async (t) => {
  t.match(await operationsOver(log(3)).operations.perform(ROOT, tail(256)), { result: { records: { length: 3 } } });
  t.match(await operationsOver([]).operations.perform(ROOT, tail()), { result: { records: { length: 0 } } });
});

test("many records are asked for in pieces that the warden serves", async (t) => {
  const { operations, asked } = operationsOver(log(300));
  t.match(await operations.perform(ROOT, tail(200)), { result: { records: { length: 200 } } });
  t.same(asked, [
    [100, 64],
    [164, 64],
    [228, 64],
    [292, 8],
  ]);
});

test("the newest are kept when an answer can't hold all", async (t) => {
  const { operations } = operationsOver(log(256, 7));
  const answer = await operations.perform(ROOT, tail(256));
  const bytes = Buffer.byteLength(JSON.stringify(answer));
  t.ok(bytes <= OPERATION_ANSWER_BYTES_MAX && bytes > OPERATION_ANSWER_BYTES_MAX * 0.9, `${bytes} bytes`);
  t.match(JSON.stringify(answer), /"seq":255/);
});

test("records that are gone are left out, a warden that gives too many is not believed", async (t) => {
  t.match(await operationsOver(log(30), () => []).operations.perform(ROOT, tail()), { result: { records: { length: 0 } } });
  const generous = log(99).map((record) => encodeAuditRecord(record));
  t.match(await operationsOver(log(30), () => generous).operations.perform(ROOT, tail(5)), {
    result: { records: { length: 5 } },
  });
});

test("a record no warden wrote is said to be tampered with", async (t) => {
  const { operations } = operationsOver(log(3), () => [Buffer.from('{"v":1}')]);
  t.match(await operations.perform(ROOT, tail()), { fault: { code: "audit.tampered", message: /verify the trail/ } });
});
