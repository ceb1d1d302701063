// The audit records of operations, and operations while the trail takes no records.
import { test } from "tap";
import type { BoundOperation } from "../../../agent/operations/bind.ts";
import { createOperations } from "../../../agent/operations/index.ts";
import { AUDIT_MS_MAX, RUN_MS_MAX } from "../../../agent/operations/limits.ts";
import { createPipeline } from "../../../agent/operations/pipeline.ts";
import { Fault } from "../../../hal/fault.ts";
import { type AuditEntry, auditEntrySchema } from "../../../warden/audit/format/index.ts";
import * as v from "valibot";
import { fakeClock } from "../../lab/fakes/clock.ts";
import { CLOCK, CONSOLE, HANDLERS, ROOT, watchedOperations } from "../../lab/worlds/operations.ts";

const full = async (): Promise<void> => {
  throw new Fault("audit.full", "the trail is full");
};

/** An operation that changes something, without a warden behind it. */
function changing(ran: string[]): ReadonlyMap<string, BoundOperation> {
  const operation: BoundOperation = {
    name: "change",
    roles: ["owner"],
    changes: true,
    prepare: () => ({
      async run() {
        ran.push("changed");
        return { resultFor: () => ({ done: true }) };
      },
    }),
  };
  return new Map([["change", operation]]);
}

test("[OPS-5] an allowed operation is audited with principal, operation, channel and duration", async (t) => {
  const { operations, entries } = watchedOperations();
  await operations.perform(ROOT, { v: 1, id: "r-1", operation: "audit.tail", args: { count: 2 } });
  t.match(entries, [
    {
      event: "operation.allowed",
      result: "ok",
      principal: "local-root",
      correlation: "r-1",
      detail: { operation: "audit.tail", channel: "local", durationMs: Number },
    },
  ]);
  t.equal(entries.length, 1);
  t.ok(v.is(auditEntrySchema, entries[0]), "the warden's schema accepts it");
});

test("[OPS-5] a reading operation needs no trail; its failure is reported until the trail takes records again", async (t) => {
  let audit = full;
  const operations = createOperations({ handlers: HANDLERS, audit: () => audit(), clock: CLOCK });
  t.same(operations.troubles(), []);
  t.match(await operations.perform(CONSOLE, { v: 1, id: "1", operation: "status" }), { result: { v: 1 } });
  t.match(operations.troubles(), [{ code: "audit.full" }]);
  audit = async () => {};
  await operations.perform(CONSOLE, { v: 1, id: "2", operation: "status" });
  t.same(operations.troubles(), []);
});

test("[OPS-5] a refusal stays a refusal when the trail takes no records", async (t) => {
  const operations = createOperations({ handlers: HANDLERS, audit: full, clock: CLOCK });
  t.match(await operations.perform(CONSOLE, { v: 1, id: "1", operation: "audit.tail" }), { fault: { code: "operation.denied" } });
});

test("[OPS-5] a changing operation is recorded before it begins and after it has ended", async (t) => {
  const ran: string[] = [];
  const recorded: [AuditEntry, number][] = [];
  const audit = async (entry: AuditEntry): Promise<void> => void recorded.push([entry, ran.length]);
  const operations = createPipeline({ operations: changing(ran), audit, clock: CLOCK });
  t.match(await operations.perform(ROOT, { v: 1, id: "1", operation: "change" }), { result: { done: true } });
  t.match(recorded, [
    [{ event: "operation.allowed", detail: { stage: "begins" } }, 0],
    [{ event: "operation.allowed", result: "ok", detail: { durationMs: Number } }, 1],
  ]);
  t.equal(recorded.length, 2);
});

test("[OPS-5] a changing operation that cannot be recorded does not begin", async (t) => {
  for (const [name, audit] of [
    ["refuses", full],
    ["hangs", () => new Promise<void>(() => {})],
  ] as const) {
    const ran: string[] = [];
    const clock = fakeClock();
    const answer = createPipeline({ operations: changing(ran), audit, clock }).perform(ROOT, {
      v: 1,
      id: "1",
      operation: "change",
    });
    await clock.advance(2 * AUDIT_MS_MAX); // for the record of the beginning and that of the end
    t.match(await answer, { fault: { code: "audit.write-failed", message: /nothing was changed/ } }, `a trail that ${name}`);
    t.same(ran, []);
  }
});

test("a failing handler is answered and audited as allowed and failed; a guest gets only the code", async (t) => {
  const broken = { ...HANDLERS, status: () => Promise.reject(new Fault("file.read-failed", 'read "/var/lib/secret"')) };
  const { operations, entries } = watchedOperations(broken);
  t.match(await operations.perform(ROOT, { v: 1, id: "1", operation: "status" }), {
    fault: { code: "file.read-failed", message: /secret/ },
  });
  const answer = await operations.perform(CONSOLE, { v: 1, id: "2", operation: "status" });
  t.match(answer, { fault: { code: "file.read-failed" } });
  t.notMatch(JSON.stringify(answer), /secret/);
  t.match(entries, [
    { event: "operation.allowed", result: "failed", detail: { code: "file.read-failed", message: /secret/ } },
    { result: "failed" },
  ]);
  t.equal(entries.length, 2);
});

test("an error that is not a Fault, thrown at once or later, becomes operation.failed", async (t) => {
  for (const status of [
    () => Promise.reject(new RangeError("too far")),
    () => {
      throw new RangeError("too far");
    },
  ]) {
    const { operations } = watchedOperations({ ...HANDLERS, status });
    t.match(await operations.perform(ROOT, { v: 1, id: "1", operation: "status" }), {
      fault: { code: "operation.failed", message: /too far/ },
    });
  }
});

test("a handler that never answers becomes a fault after a time limit", async (t) => {
  const clock = fakeClock();
  const { operations } = watchedOperations({ ...HANDLERS, status: () => new Promise(() => {}) }, clock);
  const answer = operations.perform(ROOT, { v: 1, id: "1", operation: "status" });
  await clock.advance(RUN_MS_MAX);
  t.match(await answer, { fault: { code: "operation.failed", message: /no answer within 10000 ms/ } });
  t.equal(clock.sleeping, 0, "no timer is left");
});

test("a programming error is recorded and then thrown, so that it does not pass for a refusal", async (t) => {
  const { operations, entries } = watchedOperations({
    ...HANDLERS,
    status: () => Promise.reject(new Fault("assert.broken", "one is two")),
  });
  await t.rejects(operations.perform(ROOT, { v: 1, id: "1", operation: "status" }), { code: "assert.broken" });
  t.match(entries, [{ result: "failed", detail: { code: "assert.broken" } }]);
  t.equal(entries.length, 1);
});
